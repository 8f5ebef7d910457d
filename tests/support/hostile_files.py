"""Every format that a stage reads, as a fuzzer sees it: damaged files, and the reader.

A damaged file has its checksum made right more often than not. A reader must say one line
(StageError) or go through: then what was read is used, so that compiled code runs on it.
"""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fairway.artifact import container
from fairway.artifact.coders.named import CoderName
from fairway.artifact.quantized import QuantizedModel
from fairway.audit.evidence import AuditTargets, CacheEvidence, ModelEvidence
from fairway.codec.file import Codec
from fairway.corpus.manifest import Manifest, ShardFile, TokenizerFile, TrainText, ValText
from fairway.corpus.shards import read_shard, write_shard
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets, distributions_at
from fairway.counting.memories import pack_memory, read_memory
from fairway.counting.memory_index import index_memory
from fairway.files.arrays import Layout, load_array, save_array
from fairway.json_text import sealed
from fairway.rows.gate import load_counts, row_gate
from fairway.rows.mixing import RankShard, mix_row, row_mixer
from fairway.rows.sums import RankSum, Sums
from fairway.scoring.scores import Scores
from fairway.stage import StageError
from fairway.tables.inputs import Audit, Ledger, RowLedger, read_input
from fairway.tables.metrics import read_metrics
from fairway.training.checkpoints import Checkpoint, Resumed, ResumeFile
from support import specs
from support.damage import artifact, fwtx, memory, npz, plain, sealed_json, spec_json, tensors
from support.tiny_models import VOCABULARY, random_tokens, tiny_model, tiny_quantized
from support.tiny_rows import ADAPTIVE, EXACT, ORDERS, ROWS, codec_of, repetitive_tokens

Damage = Callable[[np.random.Generator], bytes]
TARGETS = 400
TOKENS = random_tokens(TARGETS + 1)
TOKENS[200:400] = TOKENS[:200]
PLAN = WindowPlan(TARGETS, 24, 8)
OTHER_ARTIFACTS = ("zstd", True), ("ans", False), ("zstd", False)  # coder, whether searched
WANTED = AuditTargets(np.array([5, 210]), np.array([100]))
MATCH, BY_ORDER = CacheSettings.from_settings(EXACT), CacheSettings.from_settings(ORDERS)


class Format(NamedTuple):
    """valid: an undamaged file; damage: another one, by a generator; read: reads and uses."""

    valid: Callable[[], bytes]
    damage: Damage
    read: Callable[[Path], Any]


def saved(save: Callable[[Path], Any], folder: Path, suffix: str) -> bytes:
    """What `save` writes."""
    path = folder / f"valid{suffix}"
    save(path)
    return path.read_bytes()


def of_any(damage: Callable, *others: Callable[[], bytes]) -> Callable:
    """Damages of the valid file, or of others that are as valid."""
    made = [cache(other) for other in others]

    def damaged(content: bytes, generator: np.random.Generator) -> bytes:
        place = int(generator.integers(len(made) + 1))
        return damage(made[place - 1]() if place else content, generator)

    return damaged


def packed(name: CoderName, searched: bool) -> bytes:
    """A tiny artifact."""
    return container.encode(tiny_quantized(searched=searched).stored, name)


def read_artifact(path: Path) -> None:
    model = container.build_model(container.read_artifact(path))
    model(torch.from_numpy(TOKENS[:8].astype(np.int64) % model.config.vocabulary)[None])


@cache
def _codec() -> Codec:
    return codec_of(ROWS["segment"])


def mix(gate: dict, cache: CacheSettings, scores: Scores, counts_file: Path) -> None:
    """Mix scores with the counts of a file, as mix_scores does."""
    shard = RankShard("rank0", scores, load_counts(counts_file, cache))
    mixer = row_mixer(row_gate(gate, ORDERS if cache is BY_ORDER else EXACT), TOKENS)
    mix_row(mixer, [shard], np.ones(TARGETS, np.uint16), "row", 1, "spec")


def known_scores() -> Scores:
    half = np.full(TARGETS, 0.5, np.float32)
    return Scores(1, half, half, "artifact", "spec")


def read_resume(path: Path, like: dict[str, torch.Tensor]) -> None:
    if ResumeFile(path, {"seed": 1}).load(like) is None:
        raise StageError(f"{path}: not resumed from")


def read_scores(path: Path) -> None:
    mixer = row_mixer(row_gate(None, None), TOKENS)
    shard = RankShard("rank0", Scores.load(path))
    mix_row(mixer, [shard], np.ones(TARGETS, np.uint16), "row", 1, "spec")


def read_evidence(path: Path) -> None:
    """The cache's evidence, asked for a distribution at each target."""
    found = CacheEvidence.load(path, WANTED, MATCH, VOCABULARY)
    gate, model = row_gate(ADAPTIVE, EXACT), np.full(VOCABULARY, 1 / VOCABULARY)
    for i in range(len(found.targets)):
        gate.distribution(gate.start(), model, np.float32(1), found.at(i))


def formats(folder: Path) -> dict[str, Format]:
    """All formats by name; folder: for files that are needed on the way."""
    parts = _weights_and_texts(folder) | _arrays(folder) | _records(folder)
    for stage, text in specs.texts().items():
        read = partial(specs.read_and_use, stage)
        parts[f"spec_{stage}"] = text.encode, spec_json, read
    return {name: _format(*of_format) for name, of_format in parts.items()}


def _weights_and_texts(folder: Path) -> dict[str, tuple]:
    """Artifacts, safetensors, compressed text and memories: valid, damage and read of each."""
    with_file = partial(saved, folder=folder)
    model = tiny_model()
    checkpoint = Checkpoint(model.config, model.state_dict(), "c" * 64, 1, "d" * 64)
    like = {"ema/0": torch.zeros(4)}
    resume = Resumed(5, 2.5, 1, ["x"], like)

    def save_resume(path: Path) -> None:
        ResumeFile(path, {"seed": 1}).save(resume)

    return {
        "artifact": (
            partial(packed, "ans", searched=True),
            of_any(artifact, *(partial(packed, *kind) for kind in OTHER_ARTIFACTS)), read_artifact,
        ),
        "fwtx": (
            lambda: _codec().compress(repetitive_tokens(25)), fwtx,
            lambda path: _codec().decompress(path.read_bytes(), path),
        ),
        "memory": (
            lambda: pack_memory(TOKENS, VOCABULARY, "ab" * 32, "lzma"), memory,
            lambda path: index_memory(read_memory(path).tokens, 5),
        ),
        "checkpoint": (
            lambda: with_file(checkpoint.save, suffix=".safetensors"),
            partial(tensors, folder / "changed.safetensors"),
            lambda path: Checkpoint.load(path).model(),
        ),
        "quantized": (
            lambda: with_file(tiny_quantized(searched=True).save, suffix=".safetensors"),
            of_any(
                partial(tensors, folder / "changed.safetensors"),
                lambda: with_file(tiny_quantized().save, suffix=".safetensors"),
            ),
            lambda path: QuantizedModel.load(path).stored.state(),
        ),
        "resume": (
            lambda: with_file(save_resume, suffix=".x"),
            partial(tensors, folder / "changed.safetensors"),
            lambda path: read_resume(path, like),
        ),
    }  # fmt: skip


def _arrays(folder: Path) -> dict[str, tuple]:
    """Files of arrays and token shards."""
    with_file = partial(saved, folder=folder)
    counts = {cache: count_targets(TOKENS, PLAN, 1, TARGETS, cache) for cache in (MATCH, BY_ORDER)}
    said = distributions_at(TOKENS, PLAN, WANTED.sampled, MATCH, VOCABULARY)
    cache_evidence = CacheEvidence.of(said, WANTED, [True], [], "cache")
    uniform = np.full((len(WANTED.sampled), VOCABULARY), 1 / VOCABULARY)
    model_evidence = ModelEvidence(*WANTED, np.array([True]), "m", uniform, "artifact")
    return {
        "scores": (lambda: with_file(known_scores().save, suffix=".npz"), npz, read_scores),
        "match_counts": (
            lambda: with_file(counts[MATCH].save, suffix=".npz"), npz,
            lambda path: mix(ADAPTIVE, MATCH, known_scores(), path),
        ),
        "order_counts": (
            lambda: with_file(counts[BY_ORDER].save, suffix=".npz"), npz,
            lambda path: mix({"kind": "empirical_bayes"}, BY_ORDER, known_scores(), path),
        ),
        "cache_evidence": (
            lambda: with_file(cache_evidence.save, suffix=".npz"), npz, read_evidence,
        ),
        "model_evidence": (
            lambda: with_file(model_evidence.save, suffix=".npz"), npz,
            lambda path: ModelEvidence.load(path, WANTED, VOCABULARY),
        ),
        "val_bytes": (
            lambda: with_file(lambda path: save_array(path, TOKENS), suffix=".npy"), plain,
            lambda path: load_array(path, Layout("uint16", (len(TOKENS),))),
        ),
        "shard": (
            lambda: with_file(lambda path: write_shard(path, TOKENS), suffix=".bin"), plain,
            lambda path: read_shard(path, VOCABULARY),
        ),
    }  # fmt: skip


def _records(folder: Path) -> dict[str, tuple]:
    """JSON files."""
    with_file = partial(saved, folder=folder)
    manifest = Manifest(
        "s", "text", VOCABULARY, TokenizerFile("t", ""), TrainText(1, 9, (ShardFile("a", 9, ""),)),
        ValText(1, 9, 8, 8, None, "decoded", "v", "", "", ""), folder,
    )  # fmt: skip
    sums = Sums("s", "s", None, "a", 0.5, (RankSum("r", 1, 0, 1, 9, 5.5, 20, 0.1),))
    ledger = {"seed": 1, "artifact_sha256": "a", "total_bytes": 900, "seconds": 4.0}
    sizes = {"network_bytes": 5, "total_bytes": 18, "artifact_sha256": None}
    row_ledger = {
        "code_counted": "decoder", "limit_bytes": 99, "memory_bytes": 6, "memory_sha256": None,
        "bundle_bytes": 7, "bundle_sha256": "b", "source_bytes": 20, "seeds": {"1": sizes},
    }  # fmt: skip
    judged = {"artifact_sha256": "a", "sums_sha256": "b", "mean_z": 1.0, "bpb_normalized": 3.0}
    judged["standard_error"] = 0.5
    audit = {
        "is_code_length": True,
        "checks": {
            "normalised": {"mean_z": 1.0}, "same_text": {"text": "decoded", "original_bytes": 9},
        },
        "seeds": {"1": judged},
    }  # fmt: skip
    step = {"step": 1, "loss": 2.5, "lr_scale": 1.0, "tokens_per_second": 9, "seconds": 5.0}
    compared = {"event": "compared", "step": 1, "raw_loss": 2.5, "averaged_loss": 2.25}
    compared |= {"tokens": 64, "unseen": True, "comparing_seconds": 0.5}
    done = {"event": "done", "steps": 1, "seconds": 5.0, "parameters": 9}
    metrics = "\n".join(map(json.dumps, (step, compared, done)))
    return {
        "manifest": (lambda: with_file(manifest.save, suffix=".json"), sealed_json, Manifest.load),
        "sums": (
            lambda: with_file(sums.save, suffix=".json"), sealed_json,
            lambda path: Sums.load(path).bits_per_byte,
        ),
        "ledger": (
            lambda: sealed(json.dumps(ledger)).encode(), sealed_json,
            lambda path: read_input(path, Ledger),
        ),
        "row_ledger": (
            lambda: sealed(json.dumps(row_ledger)).encode(), sealed_json,
            lambda path: read_input(path, RowLedger).largest,
        ),
        "audit": (
            lambda: sealed(json.dumps(audit)).encode(), sealed_json,
            lambda path: read_input(path, Audit),
        ),
        "metrics": (lambda: sealed(metrics).encode(), plain, read_metrics),
    }  # fmt: skip


def _format(valid: Callable[[], bytes], damage: Callable, read: Callable) -> Format:
    once = cache(valid)
    return Format(once, lambda generator: damage(once(), generator), read)


def outcome(read: Callable[[Path], Any], path: Path) -> str:
    """What a reader makes of a file: `accepted`, `refused`, or another exception's name."""
    try:
        read(path)
    except StageError as error:
        return "refused" if len(str(error)) < 1000 else "a long line"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"
