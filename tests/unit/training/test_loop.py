"""A training step and the loop around it, in one process."""

import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fairway.model.architecture import ModelConfig
from fairway.model.initialization import initialize
from fairway.model.network import Model
from fairway.stage import StageError
from fairway.training.batches import Batches
from fairway.training.checkpoints import ResumeFile
from fairway.training.loop import Loop, Metrics, NonFiniteLoss, ReplicasDiffer
from fairway.training.loss import next_token_loss
from fairway.training.optimizers import parameter_kinds
from fairway.training.processes import Processes, check_devices
from fairway.training.settings import TrainingSettings
from fairway.training.step import Training, at_once
from support.tiny_training import ARCHITECTURE, TRAINING, VOCABULARY, markov_tokens

ALONE = Processes(0, 1, torch.device("cpu"), parent=0)


def new_model(seed: int = 1, **architecture: Any) -> Model:
    config = ModelConfig.from_settings({**ARCHITECTURE, **architecture}, VOCABULARY)
    return initialize(Model(config), torch.Generator().manual_seed(seed))


def training(model: Model | None = None, processes: Processes = ALONE, **changes: Any) -> Training:
    settings = TrainingSettings.from_settings({**TRAINING, **changes})
    shards = [markov_tokens(3000, seed=0)]
    batches = Batches(shards, VOCABULARY, settings.sequence, settings.batch_tokens, seed=1)
    return Training(model or new_model(), settings, batches, processes)


def run_loop(folder: Path, made: Training) -> list[dict[str, Any]]:
    resume = ResumeFile(folder / "resume.safetensors", {"seed": 1})
    Loop(made, resume, Metrics(folder / "metrics.jsonl", writes=True)).run()
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(made: Training) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in made.parameters]


def all_equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_parameter_has_one_optimiser() -> None:
    model = new_model()
    kinds = parameter_kinds(model)
    found = [id(parameter) for kind in kinds.values() for parameter in kind]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters())
    assert len(kinds["gates"]) == 2 and len(kinds["embeddings"]) == 3
    lora, blocks, projections = 2 * 2 * 4, 2 * 6, 2
    assert len(kinds["matrices"]) == lora + blocks + projections
    assert all(parameter.ndim == 2 for parameter in kinds["matrices"])


def test_accumulated_gradient_is_that_of_the_whole_batch() -> None:
    made = training(gradient_clip=1e9, qat_below=0.0)
    tokens = made.batches.micro_batches(0, 0, 1).flatten(0, 1)
    twin = new_model()
    loss, penalty = next_token_loss(twin, tokens[:, :-1], tokens[:, 1:])
    (loss + penalty).backward()
    found_loss, norm = made.step(0, 1.0).tolist()
    assert found_loss == pytest.approx(loss.item(), abs=1e-5)
    expected = torch.cat([parameter.grad.flatten() for parameter in twin.parameters()])
    torch.testing.assert_close(made.buffer[:-1], expected, atol=1e-6, rtol=1e-4)
    assert norm == pytest.approx(expected.norm().item(), rel=1e-4)


def test_micro_batches_run_as_one_as_far_as_memory_allows(monkeypatch) -> None:
    """On a CPU; the loss and the gradient are the same up to rounding."""
    found = {}
    per_micro_batch = 4 * 32 * training().model.config.kept_per_token
    for count, budget in ((8, 1 << 30), (2, 3.9 * per_micro_batch), (1, 0)):
        monkeypatch.setattr("fairway.training.step._CPU_BYTES", int(budget))
        made = training()
        sizes = []
        made.loss = lambda model, inputs, targets, sizes=sizes: (
            sizes.append(inputs.shape), next_token_loss(model, inputs, targets)
        )[1]  # fmt: skip
        figures = made.step(0, 1.0)
        assert made.at_once == count and sizes == [(2 * count, 16)] * (8 // count)
        found[count] = figures, made.buffer.clone()
    for figures, buffer in found.values():
        torch.testing.assert_close(figures, found[8][0], rtol=1e-6, atol=0)
        torch.testing.assert_close(buffer, found[8][1], rtol=1e-4, atol=1e-7)


def test_a_gpu_runs_one_micro_batch_at_a_time() -> None:
    settings = TrainingSettings.from_settings({**TRAINING, "device": "cuda"})
    assert at_once(new_model(), settings, share=8) == 1


def test_gradient_is_clipped_to_the_global_norm() -> None:
    made = training(gradient_clip=0.01)
    norm = made.step(0, 1.0)[1].item()
    assert norm > 0.02
    assert made.buffer[:-1].norm().item() == pytest.approx(0.01, rel=1e-3)


def test_late_steps_use_fake_quantised_weights() -> None:
    """The loss of a step below the threshold is that of the rounded weights."""
    made, plain = training(qat_below=0.5, muon_lr=0.1), training(qat_below=0.0, muon_lr=0.1)
    for step in range(6):  # away from the start, where output matrices are 0
        made.step(step, 1.0), plain.step(step, 1.0)
    assert all_equal(weights(made), weights(plain))
    assert made.step(6, 0.1)[0].item() != plain.step(6, 0.1)[0].item()
    assert not all_equal(weights(made), weights(plain))


def test_compiled_steps_are_one_graph_that_late_steps_use_too(monkeypatch) -> None:
    captured = torch.compile
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        torch, "compile", lambda function, **options: captured(function, backend=count, **options)
    )
    small = {"shared_blocks": 0, "unique_blocks": 1, "value_embedding_layers": [0]}
    small |= {"lora_matrices": [], "loops": 0}
    made = [training(new_model(**small), compile=on, muon_lr=0.1) for on in (True, False)]
    for step, scale in enumerate((1.0, 1.0, 1.0, 0.1, 0.05)):
        compiled, plain = (each.step(step, scale).tolist() for each in made)
        assert compiled == pytest.approx(plain, rel=1e-3)  # rounding, which grows by the step
    assert len(graphs) == 1


def test_loss_falls_and_metrics_tell(tmp_path: Path) -> None:
    *lines, done = run_loop(tmp_path, training(steps=40))
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert lines[0]["loss"] == pytest.approx(4.16, abs=0.05)  # ln 64
    assert lines[-1]["loss"] < 3.0
    assert set(lines[0]) == {
        *("step", "loss", "lr_scale", "ms_per_step", "tokens_per_second", "seconds"),
        "gradient_norm",
    }
    assert lines[-1]["lr_scale"] == 0.125
    assert done["event"] == "done" and done["steps"] == 40
    assert done["parameters"] == sum(p.numel() for p in new_model().parameters())
    assert [line["layer"] for line in done["deviations"]] == [0, 1]


def test_warm_up_leaves_no_trace(tmp_path: Path) -> None:
    warm, cold = training(warmup_steps=3), training(warmup_steps=0)
    losses = [[line.get("loss") for line in run_loop(tmp_path, made)] for made in (warm, cold)]
    assert losses[0] == losses[1]
    assert all_equal(weights(warm), weights(cold))


def test_final_weights_are_half_ema_half_swa(tmp_path: Path) -> None:
    made = training(steps=12, warmdown_steps=8, swa_below=0.3, swa_every=1)
    run_loop(tmp_path, made)
    assert made.averages.snapshots == 2  # scales 0.25, 0.125
    for final, ema, swa_sum in zip(
        made.parameters, made.averages.ema, made.averages.swa_sum, strict=True
    ):
        torch.testing.assert_close(final.detach(), 0.5 * ema + 0.25 * swa_sum)


def test_swa_is_the_mean_of_every_third_late_step(tmp_path: Path) -> None:
    made = training(steps=22, warmdown_steps=22, swa_below=0.5, swa_every=3)
    seen, step = [], made.step

    def watched(number: int, scale: float) -> torch.Tensor:
        figures = step(number, scale)
        seen.append(weights(made))
        return figures

    made.step = watched
    run_loop(tmp_path, made)
    late = [seen[done] for done in (15, 18, 21)]  # one warm-up step first; at 12 the scale is ½
    assert made.averages.snapshots == len(late)
    means = [torch.stack(each).mean(0) for each in zip(*late, strict=True)]
    for found, mean, ema in zip(made.parameters, means, made.averages.ema, strict=True):
        torch.testing.assert_close(found.detach(), 0.5 * ema + 0.5 * mean)


def test_no_snapshot_is_said(tmp_path: Path, capsys) -> None:
    made = training(steps=4, warmdown_steps=0)
    run_loop(tmp_path, made)
    assert "no SWA snapshot was taken; the final weights are the EMA" in capsys.readouterr().err
    assert all_equal(weights(made), made.averages.ema)


def test_independent_layers_train_too(tmp_path: Path) -> None:
    shared_keys = {"shared_blocks", "loops", "unique_blocks", "lora_rank", "lora_matrices"}
    sizes = {
        key: value
        for key, value in ARCHITECTURE.items()
        if key not in shared_keys and not key.startswith("gamma")
    }
    config = ModelConfig.from_settings({**sizes, "layers": "independent", "blocks": 3}, VOCABULARY)
    model = initialize(Model(config), torch.Generator().manual_seed(0))
    *lines, done = run_loop(tmp_path, training(model, steps=20))
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.3 and done["deviations"] == []


@pytest.fixture
def ticking(monkeypatch) -> None:
    """A clock of training that moves by half a second whenever it is read."""
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(ticks) / 2)
    monkeypatch.setattr("fairway.training.loop.time", clock)


def test_a_progress_line_has_step_loss_rate_speed_and_time_left(
    tmp_path: Path, capsys, ticking
) -> None:
    """A step takes half a second, so there is a line every 20 steps, and one at the end."""
    *metrics, _ = run_loop(tmp_path, training(steps=30, warmdown_steps=25))
    number = r"([\d.,]+)"
    pattern = (
        rf"step (\d+)/30, loss {number}, lr scale {number}, {number} ms/step, "
        rf"{number} tokens/s, {number} s left"
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    found = [re.fullmatch(pattern, line).groups() for line in lines]
    assert [int(step) for step, *_ in found] == [20, 30]
    for step, loss, scale, *rest in found:
        line = metrics[int(step) - 1]
        assert float(loss) == pytest.approx(line["loss"], abs=1e-4)
        assert float(scale) == pytest.approx(line["lr_scale"], abs=1e-3)
        assert rest == ["500.0", "512", str((30 - int(step)) // 2)]  # batches of 256 tokens


def test_a_cap_in_seconds_ends_the_training(tmp_path: Path, ticking) -> None:
    made = training(steps=100_000, warmdown_steps=5, max_seconds=20.0, log_every=1)
    *lines, done = run_loop(tmp_path, made)
    assert done["steps"] == 20 and done["seconds"] == pytest.approx(20, abs=1)
    scales = [line["lr_scale"] for line in lines]
    assert scales[:14] == [1.0] * 14 and scales[-1] < 0.4
    assert scales[15:] == sorted(scales[15:], reverse=True)


def test_a_step_is_told_when_the_next_one_is_queued(tmp_path: Path) -> None:
    made, order = training(steps=3, warmup_steps=0), []
    metrics = Metrics(tmp_path / "metrics.jsonl", writes=False)
    step, add = made.step, metrics.add
    made.step = lambda number, scale: (order.append(f"run {number + 1}"), step(number, scale))[1]
    metrics.add = lambda line, **k: (order.append(line.get("step")), add(line, **k))[1]
    Loop(made, ResumeFile(tmp_path / "resume", {}), metrics).run()
    assert order == ["run 1", "run 2", 1, "run 3", 2, 3, None]


def test_replicas_that_differ_end_the_training(tmp_path: Path) -> None:
    """From the step on at which another process has other weights; compared at logged steps."""
    compared = []

    class Pair(Processes):
        def sum_in_place(self, tensor: torch.Tensor) -> None:
            tensor.mul_(1)

        def take_first(self, tensors: list[torch.Tensor]) -> None:
            pass

        def check_parent(self) -> None:
            pass

        def agree(self, value: int) -> bool:
            compared.append(value)
            return len(compared) < 4  # the first of them whether to resume

    made = training(steps=12, log_every=2, processes=Pair(0, 2, torch.device("cpu"), 0))
    with pytest.raises(ReplicasDiffer, match="training step 6: the weights of 2 processes"):
        run_loop(tmp_path, made)
    assert len(set(compared[1:])) == 3, "the weights change from step to step"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_and_names_the_step(tmp_path: Path, bad: float) -> None:
    made = training()
    step = made.step

    def poisoned(number: int, scale: float) -> torch.Tensor:
        if number == 3:
            with torch.no_grad():
                made.model.skip_weights.fill_(bad)
        return step(number, scale)

    made.step = poisoned
    with pytest.raises(NonFiniteLoss, match="training step 4: loss nan"):
        run_loop(tmp_path, made)


def test_cuda_devices_are_counted(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    settings = TrainingSettings.from_settings({**TRAINING, "device": "cuda", "world_size": 8})
    with pytest.raises(StageError, match=r"cuda with 8 processes .* it has 1 CUDA devices"):
        check_devices(settings, 8)
    check_devices(settings, 1)
