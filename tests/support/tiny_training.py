"""A training small enough for tests: a corpus, settings, and the stage run on them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairway.corpus.manifest import Manifest, TokenizerFile, TrainText, ValText, shard_files
from fairway.corpus.shards import write_shard

STAGE = Path(__file__).resolve().parents[2] / "stages" / "train_model.py"
VOCABULARY = 64

ARCHITECTURE: dict[str, Any] = {
    "layers": "shared",
    "shared_blocks": 1,
    "loops": 2,
    "unique_blocks": 1,
    "lora_rank": 2,
    "lora_matrices": ["q", "v", "up", "down"],
    "gamma_init": -2.0,
    "gamma_penalty": 0.01,
    "width": 16,
    "heads": 2,
    "kv_heads": 1,
    "mlp_width": 32,
    "rope_dims": 4,
    "rope_base": 10000.0,
    "rope_train_length": 1024,
    "rope_context": 16,
    "bigram_rows": 32,
    "bigram_width": 8,
    "value_embedding_width": 8,
    "value_embedding_layers": [2],
    "logit_cap": 30.0,
}

TRAINING: dict[str, Any] = {
    "device": "cpu",
    "world_size": 1,
    "threads": 1,
    "compile": False,
    "kernels": [],
    "precision": "float32",
    "batch_tokens": 256,
    "sequence": 16,
    "steps": 12,
    "max_seconds": None,
    "warmup_steps": 1,
    "warmdown_steps": 8,
    "muon_lr": 0.02,
    "muon_momentum": [0.85, 0.95],
    "muon_momentum_steps": 6,
    "embedding_lr": 0.02,
    "scalar_lr": 0.01,
    "weight_decay": 0.04,
    "adam_betas": [0.9, 0.95],
    "adam_epsilon": 1.0e-8,
    "gradient_clip": 0.3,
    "ema_decay": 0.9,
    "swa_every": 1,
    "swa_below": 0.5,
    "qat_below": 0.5,
    "qat_sharpness": [1.0, 16.0],
    "checkpoint_every": 0,
    "log_every": 1,
    "compare_every": 0,
}


def markov_tokens(count: int, seed: int) -> np.ndarray:
    """Tokens in which each mostly follows from the last: there is something to learn."""
    generator = np.random.default_rng(seed)
    jumps = np.where(generator.random(count) < 0.8, 5, generator.integers(VOCABULARY, size=count))
    return (np.cumsum(jumps) % VOCABULARY).astype(np.uint16)


def write_corpus(folder: Path, tokens: int = 6000) -> Path:
    """Two training shards and their manifest; returns the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "train_0.bin", folder / "train_1.bin"]
    shards = shard_files(
        folder,
        [(file, write_shard(file, markov_tokens(tokens, i))) for i, file in enumerate(files)],
    )
    Manifest(
        spec="0" * 64,
        kind="shards",
        vocabulary=VOCABULARY,
        tokenizer=TokenizerFile("tokenizer.model", "1" * 64),
        train=TrainText(2, 2 * tokens, shards),
        val=ValText(1, 2, 1, 1, 1, "original", "val.bin", "2" * 64, "3" * 64, "4" * 64),
        folder=folder,
    ).save(folder / "manifest.json")
    return folder / "manifest.json"


def write_spec(path: Path, **training: Any) -> Path:
    """A train_model spec; keywords replace keys of its training section."""
    settings = {
        "architecture": ARCHITECTURE,
        "training": {**TRAINING, **training},
        "vocabulary": VOCABULARY,
    }
    path.write_text(json.dumps({"code": "0" * 64, "settings": settings}))
    return path


def stage_command(spec: Path, manifest: Path, outputs: Path, seed: int = 1) -> list[str]:
    """Arguments of train_model with all outputs in one folder."""
    return [
        *(str(STAGE), "--spec", str(spec), "--manifest", str(manifest), "--seed", str(seed)),
        *("--checkpoint", str(outputs / "checkpoint.safetensors")),
        *("--metrics", str(outputs / "metrics.jsonl")),
        *("--resume", str(outputs / "resume.safetensors")),
    ]


def start_stage(
    spec: Path, manifest: Path, outputs: Path, seed: int = 1, before: Sequence[str] = ()
) -> subprocess.Popen:
    """Start train_model; its stdout is not used, its stderr is a pipe; before: put before it."""
    command = [*before, sys.executable, *stage_command(spec, manifest, outputs, seed)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def run_stage(spec: Path, manifest: Path, outputs: Path, seed: int = 1) -> tuple[int, str]:
    """Run train_model to its end: exit code and stderr."""
    with start_stage(spec, manifest, outputs, seed) as process:
        _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def read_metrics(outputs: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (outputs / "metrics.jsonl").read_text().splitlines()]
