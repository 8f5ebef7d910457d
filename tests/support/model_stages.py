"""The three stages after training, run in a folder as a workflow would: settings, files, flags."""

from fairway.start import run

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pack_artifact
import quantize_model
import score_targets
from fairway.corpus.manifest import Manifest, TokenizerFile, TrainText, ValText, shard_files
from fairway.corpus.shards import write_shard
from fairway.model.network import Model
from fairway.scoring.scores import Scores
from fairway.training.checkpoints import Checkpoint
from support.tiny_models import TOKENIZER_SHA256, VOCABULARY, random_tokens

QUANTIZATION = {
    "device": "cpu",
    "threads": 1,
    "calibration_tokens": 600,
    "gradient_tokens": 32_768,
    "precision": "float32",
    "batch_sequences": 4,
    "damping": 0.01,
    "block": 16,
    "clip_percentiles": [0.999, 1.0],
    "clip_sigmas": None,
    "bits_per_weight": None,
    "packed_bytes": None,
    "compressor": None,
    "fp16_mantissa_bits": 10,
    "fp16_below": 4096,
}
FORECAST = {"low": 1000, "expected": 2000, "high": 3000}
PACKING = {
    **{"compressor": "lzma", "prune_fraction": 0.02, "artifact_bytes": 16_000_000},
    **{"room_bytes": 5000, "forecast": FORECAST},
}
SCORING = {
    "device": "cpu",
    "threads": 1,
    "compile": False,
    "precision": "float32",
    "batch_windows": 4,
    "windows": {"length": 24, "stride": 7},
    "ranks": 1,
}
TARGETS = 250


class Files:
    """Inputs of the stages in one folder, and ways to run them there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "manifest.json"

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def write_corpus(self, tokenizer_sha256: str = TOKENIZER_SHA256, targets: int = TARGETS):
        write_shard(self / "train.bin", random_tokens(2000, seed=1))
        write_shard(self / "val.bin", random_tokens(targets + 1, seed=2))
        train = shard_files(self.folder, [(self / "train.bin", 2000)])
        (val,) = shard_files(self.folder, [(self / "val.bin", targets + 1)])
        sizes = (targets + 1, targets, targets, None, "decoded", val.file, val.sha256, "", "")
        Manifest(
            "0" * 64,
            "text",
            VOCABULARY,
            TokenizerFile("tokenizer.model", tokenizer_sha256),
            TrainText(1, 2000, train),
            ValText(1, *sizes),
            self.folder,
        ).save(self.manifest)

    def write_checkpoint(self, model: Model) -> None:
        """As if the model had been trained with seed 7."""
        state = dict(model.state_dict())
        checkpoint = Checkpoint(model.config, state, "1" * 64, 7, TOKENIZER_SHA256)
        checkpoint.save(self / "checkpoint.safetensors")

    def spec(self, name: str, settings: dict) -> Path:
        path = self / f"{name}.spec.json"
        path.write_text(json.dumps({"code": "c", "settings": settings}))
        return path

    def quantize(self, quantized: str = "quantized.safetensors", **changes: object) -> None:
        self._run(
            quantize_model.main,
            spec=self.spec("quantize", QUANTIZATION | changes),
            manifest=self.manifest,
            checkpoint=self / "checkpoint.safetensors",
            quantized=self / quantized,
            report=self / "quantize.json",
        )

    def pack(self, artifact: str = "artifact.bin", **changes: object) -> dict:
        ledger = self / f"{artifact}.json"
        self._run(
            pack_artifact.main,
            spec=self.spec("pack", PACKING | changes),
            quantized=self / "quantized.safetensors",
            artifact=self / artifact,
            ledger=ledger,
        )
        return json.loads(ledger.read_text())

    def score_flags(self, rank: int = 0, **changes: object) -> dict[str, object]:
        return {
            "spec": self.spec("score", SCORING | changes),
            "manifest": self.manifest,
            "val": self / "val.bin",
            "artifact": self / "artifact.bin",
            "rank": rank,
            "scores": self / "scores.npz",
            "stats": self / "stats.json",
        }

    def score(self, rank: int = 0, **changes: object) -> Scores:
        self._run(score_targets.main, **self.score_flags(rank, **changes))
        return Scores.load(self / "scores.npz")

    def _run(self, main: Callable[[], None], **flags: object) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [f"{main.__module__}.py", *command_line(flags)])
            run(main)


def command_line(flags: dict[str, object]) -> list[str]:
    return [part for name, value in flags.items() for part in (f"--{name}", str(value))]
