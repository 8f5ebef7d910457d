"""The three stages after training, on a tiny checkpoint: files in, files out, and errors."""

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import quantize_model
import score_targets
from fairway.artifact.container import read_artifact
from fairway.closure import STAGES, import_closure
from fairway.corpus.manifest import Manifest, shard_files
from fairway.corpus.shards import write_shard
from fairway.stage import sha256_of
from support.model_stages import FORECAST, TARGETS, Files, command_line
from support.tiny_models import random_tokens, tiny_model


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Files:
    """A corpus, a checkpoint, and what became of it; tests that change it do so in a copy."""
    files = Files(tmp_path_factory.mktemp("stages"))
    files.write_corpus()
    files.write_checkpoint(tiny_model())
    files.quantize()
    files.pack()
    return files


@pytest.fixture
def copy(packed, tmp_path) -> Files:
    for file in packed.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return Files(tmp_path)


def one_line(capsys) -> str:
    """The error that a stage ended with: the last line on stderr."""
    return capsys.readouterr().err.splitlines()[-1]


def test_report_says_what_calibration_read(packed):
    report = json.loads((packed / "quantize.json").read_text())
    assert report["calibration_tokens"] == 25 * 24  # whole sequences of the model's context
    assert report["train_model"] == "1" * 64 and report["seed"] == 7
    assert report["quantize_model"] == sha256_of(packed / "quantize.spec.json")
    assert len(report["layers"]) == 18
    assert all(layer["error"] < layer["rtn_error"] for layer in report["layers"])
    assert report["quantize_seconds"] > 0 and report["calibration_seconds"] > 0


def test_quantising_again_gives_the_same_bytes(copy):
    copy.quantize("again.safetensors")
    first, again = copy / "quantized.safetensors", copy / "again.safetensors"
    assert first.read_bytes() == again.read_bytes()


def test_training_text_calibrates_and_no_validation_text_is_there(copy):
    (copy / "val.bin").unlink()
    copy.quantize("again.safetensors")
    before = (copy / "quantized.safetensors").read_bytes()
    assert (copy / "again.safetensors").read_bytes() == before
    write_shard(copy / "train.bin", random_tokens(2000, seed=3))
    (shard,) = shard_files(copy.folder, [(copy / "train.bin", 2000)])
    manifest = Manifest.load(copy.manifest)
    replace(manifest, train=replace(manifest.train, shards=(shard,))).save(copy.manifest)
    copy.quantize("other.safetensors")
    assert (copy / "other.safetensors").read_bytes() != before


def test_steps_that_are_chosen_are_in_the_report(copy):
    copy.quantize("chosen.safetensors", bits_per_weight=4.0, fp16_mantissa_bits=6)
    report = json.loads((copy / "quantize.json").read_text())
    bits = [step["bits_per_weight"] for step in report["steps"].values()]
    assert len(bits) == 19 and 1 < min(bits) < 4 < max(bits) < 8
    first = (copy / "chosen.safetensors").read_bytes()
    copy.quantize("chosen.safetensors", bits_per_weight=4.0, fp16_mantissa_bits=6)
    assert (copy / "chosen.safetensors").read_bytes() == first


@pytest.mark.parametrize("compressor", ["ans", "zstd"])
def test_bytes_that_are_to_be_filled_are_filled(copy, compressor):
    budget = 20_000
    copy.quantize(packed_bytes=budget, compressor=compressor)
    ledger = copy.pack(compressor=compressor)
    tries = json.loads((copy / "quantize.json").read_text())["tries"]
    assert 0.995 * budget < ledger["packed_bytes"] <= budget
    assert [size for _, size in tries if size <= budget][-1] == ledger["packed_bytes"]


def test_bytes_that_are_too_few_are_one_line(copy, capsys):
    with pytest.raises(SystemExit, match="2"):
        copy.quantize("small.safetensors", packed_bytes=3000, compressor="ans")
    assert "error: quantization.packed_bytes: 3,000; the model takes" in capsys.readouterr().err
    assert not (copy / "small.safetensors").exists()


def test_clips_by_deviations_are_those_of_the_settings(copy):
    copy.quantize("clipped.safetensors", clip_sigmas=[8.0, 20.0])
    steps = json.loads((copy / "quantize.json").read_text())["steps"]
    assert {step["clip_sigma"] for step in steps.values()} == {8.0, 20.0}
    assert (copy / "clipped.safetensors").read_bytes() != (
        copy / "quantized.safetensors"
    ).read_bytes()


def test_ledger_adds_up_and_names_its_origin(packed):
    ledger = json.loads((packed / "artifact.bin.json").read_text())
    artifact = (packed / "artifact.bin").read_bytes()
    assert ledger["artifact_sha256"] == hashlib.sha256(artifact).hexdigest()
    assert ledger["packed_bytes"] == len(artifact)
    assert ledger["total_bytes"] == len(artifact) + 5000
    assert ledger["headroom_bytes"] == ledger["limit_bytes"] - ledger["total_bytes"]
    assert ledger["tensors"].keys() == tiny_model().state_dict().keys()
    assert ledger["specs"] == {
        "train_model": "1" * 64,
        "quantize_model": sha256_of(packed / "quantize.spec.json"),
        "pack_artifact": sha256_of(packed / "pack.spec.json"),
    }
    assert ledger["pruned_weights"] == 0 and ledger["seconds"] > 0
    assert ledger["forecast_bytes"] == FORECAST


def test_repacking_unchanged_tensors_gives_the_identical_artifact(copy):
    before = (copy / "artifact.bin").read_bytes()
    first = json.loads((copy / "artifact.bin.json").read_text())
    again = copy.pack("again.bin", prune_fraction=0.01, artifact_bytes=15_000_000)
    assert again["specs"]["pack_artifact"] != first["specs"]["pack_artifact"]
    assert (copy / "again.bin").read_bytes() == before


def test_a_little_over_the_limit_is_pruned_to_fit(copy):
    free = json.loads((copy / "artifact.bin.json").read_text())
    tight = copy.pack("tight.bin", artifact_bytes=free["total_bytes"] - 20)
    assert 0 < tight["headroom_bytes"] <= 40
    weights = sum(
        np.prod(tensor["shape"]) for tensor in free["tensors"].values() if tensor["kind"] == "int6"
    )
    assert 0 < tight["pruned_weights"] <= 0.02 * weights
    before, after = (read_artifact(copy / name) for name in ("artifact.bin", "tight.bin"))
    changed = sum(
        int((before.tensors[name].integers != after.tensors[name].integers).sum())
        for name, kind in before.kinds.items()
        if kind == "int6"
    )
    assert changed == tight["pruned_weights"]


def test_far_over_the_limit_fails_with_the_ledger_in_the_log(copy, capsys):
    with pytest.raises(SystemExit) as exit_status:
        copy.pack("over.bin", artifact_bytes=10_000)
    assert exit_status.value.code == 2
    *ledger, error = capsys.readouterr().err.splitlines()
    sizes = json.loads("\n".join(ledger))
    assert sizes["headroom_bytes"] <= 0 and sizes["room_bytes"] == 5000
    assert error.startswith("pack_artifact.py: error: artifact: ")
    assert f"{sizes['packed_bytes']:,} bytes" in error and "10,000, less" in error
    assert not (copy / "over.bin").exists() and not (copy / "over.bin.json").exists()


def test_scores_are_the_same_at_1_2_3_and_8_ranks(copy):
    whole = copy.score()
    assert whole.first_target == 1 and len(whole.nll) == TARGETS
    assert whole.artifact_sha256 == sha256_of(copy / "artifact.bin")
    assert whole.spec == sha256_of(copy / "score.spec.json")
    for ranks in (2, 3, 8):
        parts = [copy.score(rank, ranks=ranks) for rank in range(ranks)]
        ends = np.cumsum([0] + [len(part.nll) for part in parts])
        assert [part.first_target for part in parts] == (ends[:-1] + 1).tolist()
        for name in ("nll", "entropy"):
            union = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_allclose(union, getattr(whole, name), atol=1e-5)
    stats = json.loads((copy / "stats.json").read_text())
    assert stats["seconds"] > 0 and stats["spec"] == sha256_of(copy / "score.spec.json")


def test_waiting_for_a_gpu_is_not_part_of_the_seconds(copy, monkeypatch):
    def wait(device: str, threads: int) -> torch.device:
        time.sleep(20)
        return torch.device(device)

    now = [0.0]  # a clock that only sleeping moves
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    for stage in (quantize_model, score_targets):
        monkeypatch.setattr(stage, "prepare_device", wait)
    copy.quantize()
    copy.score()
    report, stats = (json.loads((copy / f).read_text()) for f in ("quantize.json", "stats.json"))
    assert now == [40.0]
    assert report["calibration_seconds"] == stats["load_seconds"] == 0


def test_scoring_refuses_what_does_not_belong_together(copy, capsys):
    def error(rank: int = 0, **changes: object) -> str:
        (copy / "scores.npz").unlink(missing_ok=True)
        with pytest.raises(SystemExit) as exit_status:
            copy.score(rank, **changes)
        assert exit_status.value.code == 2 and not (copy / "scores.npz").exists()
        return one_line(capsys)

    assert "ranks: 40; the validation text has only 34 windows" in error(ranks=40)
    assert "rank 3: expected 0 to 2" in error(rank=3, ranks=3)
    long = {"length": 300, "stride": 10}
    assert "250 targets; expected at least one window" in error(windows=long)
    content = bytearray((copy / "artifact.bin").read_bytes())
    content[1000] ^= 1
    (copy / "artifact.bin").write_bytes(content)
    assert "artifact.bin: " in (message := error()) and "SHA-256" in message
    content[1000] ^= 1
    (copy / "artifact.bin").write_bytes(content[:-1])
    assert "cut short" in error()
    (copy / "artifact.bin").write_bytes(content)
    copy.write_corpus(tokenizer_sha256="6" * 64)
    assert "artifact.bin: tokenizer SHA-256 555" in error()


def test_quantising_refuses_another_tokenizer_and_a_short_text(copy, capsys):
    copy.write_corpus(tokenizer_sha256="6" * 64)
    with pytest.raises(SystemExit):
        copy.quantize("none.safetensors")
    assert "checkpoint.safetensors: tokenizer SHA-256 555" in one_line(capsys)
    assert not (copy / "none.safetensors").exists()


def test_code_is_exactly_what_scoring_imports(packed):
    """In a fresh process, the project's modules after scoring are those that its spec hashes."""
    program = (
        "import json, runpy, sys\n"
        "script = sys.argv[1]\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(script, run_name='__main__')\n"
        "files = [getattr(m, '__file__', None) for m in list(sys.modules.values())]\n"
        "print(json.dumps([file for file in files if file]))\n"
    )
    script = STAGES / "score_targets.py"
    flags = packed.score_flags() | {"scores": packed / "own.npz", "stats": packed / "own.json"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(script), *command_line(flags)],
        env={"PYTHONPATH": str(STAGES), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {Path(file).resolve() for file in json.loads(done.stdout.splitlines()[-1])}
    own = {file for file in loaded if file.is_relative_to(STAGES)} | {script}
    assert own == set(import_closure(script))
