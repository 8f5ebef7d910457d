"""Raw beside averaged weights: the same text, and nothing that a training does is changed."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from fairway.model.architecture import ModelConfig
from fairway.model.initialization import initialize
from fairway.model.network import Model
from fairway.training.batches import Batches
from fairway.training.checkpoints import ResumeFile
from fairway.training.comparison import Comparison
from fairway.training.loop import Loop, Metrics, NonFiniteLoss
from fairway.training.processes import Processes
from fairway.training.settings import TrainingSettings
from fairway.training.step import Training
from support.tiny_training import ARCHITECTURE, TRAINING, VOCABULARY, markov_tokens

ALONE = Processes(0, 1, torch.device("cpu"), parent=0)


@pytest.fixture(autouse=True)
def short_text(monkeypatch) -> None:
    """64 sequences of 16 tokens."""
    monkeypatch.setattr("fairway.training.comparison._TOKENS", 1024)


def training(tokens: int = 3000, **changes: Any) -> Training:
    settings = TrainingSettings.from_settings({**TRAINING, **changes})
    shards = [markov_tokens(tokens, seed=0)]
    batches = Batches(shards, VOCABULARY, settings.sequence, settings.batch_tokens, seed=1)
    config = ModelConfig.from_settings(ARCHITECTURE, VOCABULARY)
    return Training(
        initialize(Model(config), torch.Generator().manual_seed(1)), settings, batches, ALONE
    )


def run(folder: Path, made: Training) -> tuple[list, list, dict]:
    """A training's lines: of steps, of comparisons, and the closing one."""
    path = folder / "metrics.jsonl"
    Loop(made, ResumeFile(folder / "resume.safetensors", {"seed": 1}), Metrics(path, True)).run()
    *lines, done = map(json.loads, path.read_text().splitlines())
    compared = [line for line in lines if line.get("event") == "compared"]
    return [line for line in lines if "event" not in line], compared, done


def loss(model: Model, sequences: torch.Tensor) -> float:
    with torch.no_grad():
        logits = model(sequences[:, :-1]).double()
    return F.cross_entropy(logits.flatten(0, 1), sequences[:, 1:].flatten()).item()


def test_what_is_compared_is_what_each_pays_for_the_same_text() -> None:
    made = training(muon_lr=0.1)
    for step in range(5):
        made.step(step, 1.0 if step < 3 else 0.2)
    sequences = made.batches.batches.last_of_epoch(64)
    raw, averaged = Comparison(made).losses().tolist()
    assert raw == pytest.approx(loss(made.model, sequences), abs=1e-5)
    made.finish()
    assert averaged == pytest.approx(loss(made.model, sequences), abs=1e-5)
    assert abs(raw - averaged) > 1e-3


def test_a_training_that_compares_is_the_same_to_the_bit(tmp_path: Path) -> None:
    plain, compared = training(), training(compare_every=1)
    steps, none, done = run(tmp_path, plain)
    same_steps, lines, same_done = run(tmp_path, compared)
    assert not none and [line["step"] for line in lines] == list(range(1, 13))
    assert [line["loss"] for line in steps] == [line["loss"] for line in same_steps]
    assert done["deviations"] == same_done["deviations"]
    for one, other in zip(plain.parameters, compared.parameters, strict=True):
        assert torch.equal(one, other)


def test_text_is_unseen_until_a_step_comes_to_it(tmp_path: Path) -> None:
    """187 sequences, 16 a step, the last 64 compared: 7 steps take 112 of the other 123."""
    _, lines, _ = run(tmp_path, training(compare_every=7, steps=9))
    assert [(line["step"], line["unseen"]) for line in lines] == [(7, True), (9, False)]
    assert {line["tokens"] for line in lines} == {64 * 16}
    _, lines, _ = run(tmp_path, training(tokens=800, compare_every=12))
    assert [(line["tokens"], line["unseen"]) for line in lines] == [(49 * 16, False)]


def test_compared_sequences_are_those_an_epoch_comes_to_last() -> None:
    batches = training(tokens=1000).batches.batches
    order = torch.cat([batches.micro_batches(step, 0, 1).flatten(0, 1) for step in range(4)])
    assert batches.total == 62
    assert torch.equal(batches.last_of_epoch(20), order[42:62])
    assert torch.equal(batches.last_of_epoch(99), order[:62])


def test_comparing_takes_no_time_of_the_training(tmp_path: Path, monkeypatch) -> None:
    """On a clock that a step moves by a second, and a comparison by 50."""
    now = [0.0]
    monkeypatch.setattr("fairway.training.loop.time", SimpleNamespace(monotonic=lambda: now[0]))

    def slow(kind: type, name: str, seconds: float) -> None:
        right = getattr(kind, name)

        def late(*arguments: Any) -> torch.Tensor:
            now[0] += seconds
            return right(*arguments)

        monkeypatch.setattr(kind, name, late)

    slow(Training, "step", 1.0), slow(Comparison, "losses", 50.0)
    settings = {"steps": 100_000, "warmdown_steps": 5, "max_seconds": 20.0, "warmup_steps": 0}
    steps, lines, done = run(tmp_path, training(compare_every=8, **settings))
    assert [(line["step"], line["comparing_seconds"]) for line in lines] == [
        (8, 50.0), (16, 50.0), (20, 50.0),
    ]  # fmt: skip
    assert (done["steps"], done["seconds"]) == (20, 20.0)
    assert [line["seconds"] for line in steps] == list(range(1, 21))
    plain, _, _ = run(tmp_path, training(**settings))
    assert [line["lr_scale"] for line in plain] == [line["lr_scale"] for line in steps]


@pytest.mark.parametrize("stopped", [4, 6, 12])
def test_a_resumed_training_has_the_same_comparisons(
    tmp_path: Path, monkeypatch, stopped: int
) -> None:
    """Stopped when a state was saved: after a comparison, between two, and after the last."""
    known = {"step", "raw_loss", "averaged_loss", "tokens", "unseen"}
    kept = lambda lines: [{key: line[key] for key in known} for line in lines]  # noqa: E731
    settings = {"compare_every": 4, "checkpoint_every": 2}
    _, expected, _ = run(tmp_path, training(**settings))
    (tmp_path / "resume.safetensors").unlink()
    save = ResumeFile.save

    def stop(file: ResumeFile, state: Any) -> None:
        save(file, state)
        if state.done == stopped:
            raise KeyboardInterrupt

    monkeypatch.setattr(ResumeFile, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, training(**settings))
    monkeypatch.setattr(ResumeFile, "save", save)
    _, found, _ = run(tmp_path, training(**settings))
    assert kept(found) == kept(expected) and len(found) == 3


def test_weights_that_are_not_finite_stop_it(tmp_path: Path) -> None:
    made = training(compare_every=3)
    step = made.step

    def poisoned(number: int, scale: float) -> torch.Tensor:
        figures = step(number, scale)
        if number == 2:
            with torch.no_grad():
                made.model.skip_weights.fill_(float("nan"))
        return figures

    made.step = poisoned
    with pytest.raises(NonFiniteLoss, match="step 3: loss of the weights nan, of their average"):
        run(tmp_path, made)
