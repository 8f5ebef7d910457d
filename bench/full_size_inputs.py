"""What bench/full_size.py lets ./run find: text and all that only a trained model gives, made up.

Imported by it; placeholders under the specs of config/fineweb.yaml, and score shards.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from extend_text import extend

from fairway.audit.evidence import AuditTargets, ModelEvidence, audit_targets
from fairway.corpus.byte_accounting import ByteTable
from fairway.corpus.manifest import Manifest, TokenizerFile, TrainText, ValText
from fairway.corpus.shards import BOS, read_shard, write_shard
from fairway.corpus.tokenizer import load_tokenizer
from fairway.corpus.windows import WindowPlan
from fairway.files.arrays import save_array
from fairway.files.spec import Spec
from fairway.json_text import sealed
from fairway.provenance import Recording
from fairway.scoring.scores import Scores
from fairway.stage import sha256_of, write_json
from fairway.workflow.jobs import provenance_pattern, spec_key
from fairway.workflow.plan import Plan

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "config" / "fineweb.yaml"


@dataclass(frozen=True)
class Run:
    """The plan of a run in the current directory, and the file with its corpus."""

    plan: Plan
    override: Path


@dataclass(frozen=True)
class Place(Run):
    """The same with its text, in which all that the run is to find is made up."""

    tokens: np.ndarray

    @property
    def windows(self) -> WindowPlan:
        return WindowPlan(len(self.tokens) - 1, **self.plan.config["windows"])


def planned(override: Path, changed: dict[str, Any]) -> Plan:
    """The plan of the record's configuration on this corpus, with changed gates."""
    config = yaml.safe_load(RECORD.read_text())
    config["corpus"] |= yaml.safe_load(override.read_text())["corpus"]
    for gate, numbers in changed.items():
        config["gates"][gate] |= numbers
    return Plan(config, ROOT)


def make_up(options: argparse.Namespace) -> Path:
    """Write all that the run is to find; the file with its corpus."""
    place = prepare(options)
    write_corpus(place, options.tokenizer)
    write_models(place)
    write_specs(place)
    return place.override


def prepare(options: argparse.Namespace) -> Place:
    """Write text and configuration."""
    source = np.concatenate([read_shard(path) for path in options.shards])
    tokens = extend(source, options.tokens, context=2, jump=0.2, seed=1)
    tokens[0] = BOS
    write_shard(Path("given.bin"), tokens)
    write_shard(Path("train.bin"), source[:100_000])
    tokenizer = str(options.tokenizer)
    corpus = {"train_shards": ["train.bin"], "val_shards": ["given.bin"], "tokenizer": tokenizer}
    override = Path("full_size.yaml").resolve()
    override.write_text(yaml.safe_dump({"corpus": corpus}))
    return Place(planned(override, {}), override, tokens)


def record(plan: Plan, stage: str, read: Iterable[Path], *wrote: Path, **keys: str | int) -> None:
    """Provenance of a job that was not run: its files are placeholders."""
    path = Path(provenance_pattern(stage).format(**keys))
    spec = Spec({}, plan.specs.sha256(stage, spec_key(stage, keys)))
    sources = plan.sources if stage in ("train_tokenizer", "encode_corpus") else []
    Recording(path, spec, read, sources).finish(*wrote)


def write_corpus(place: Place, tokenizer: Path) -> None:
    """What encode_corpus would write; the text was cut up, so its bytes are not proven."""
    folder, tokens = Path("results/corpus"), place.tokens
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / "tokenizer.model"
    own.write_bytes(tokenizer.read_bytes())
    (folder / "val_text.bin").write_bytes(b"")
    vocabulary = place.plan.config["corpus"]["vocabulary"]
    sizes = ByteTable.of(load_tokenizer(tokenizer, vocabulary)).target_bytes(tokens)
    write_shard(folder / "val.bin", tokens)
    save_array(folder / "val_bytes.npy", sizes)
    total, documents = int(sizes.sum(dtype=np.int64)), int(np.count_nonzero(tokens == BOS))
    Manifest(
        spec=place.plan.specs.sha256("encode_corpus"),
        kind="shards",
        vocabulary=vocabulary,
        tokenizer=TokenizerFile(own.name, sha256_of(own)),
        train=TrainText(0, 0, ()),
        val=ValText(
            documents, len(tokens), len(sizes), total, None, "decoded", "val.bin",
            sha256_of(folder / "val.bin"), sha256_of(folder / "val_bytes.npy"), "",
        ),
        folder=folder,
    ).save(folder / "manifest.json")  # fmt: skip
    names = "manifest.json", "val.bin", "val_bytes.npy", "val_text.bin"
    record(place.plan, "train_tokenizer", [], own)
    record(place.plan, "encode_corpus", [own], *(folder / name for name in names))


def write_specs(place: Place) -> None:
    """All specs: a job whose spec is yet to be written runs, whatever is there of it."""
    for path, text in place.plan.missing_specs().items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)


def write_models(place: Place) -> None:
    """Placeholders of training and packing, made-up scores, evidence that fits them."""
    generator, targets = np.random.default_rng(1), place.windows.targets
    nll = generator.gamma(1.2, 1.6, targets).astype(np.float32)  # 1.9 nats, as the record's model
    entropy = (nll / 2 + generator.gamma(2.0, 0.5, targets)).astype(np.float32)
    for model in place.plan.models:
        for shift, seed in enumerate(place.plan.seeds):
            folder = Path(f"results/models/{model}/seed{seed}")
            artifact = write_placeholders(place.plan, model, seed, folder)
            drawn = np.roll(nll, 1000 * shift), np.roll(entropy, 1000 * shift)
            write_scores(place, model, seed, folder, artifact, *drawn)


def write_placeholders(plan: Plan, model: str, seed: int, folder: Path) -> str:
    """Files of training, quantising and packing that hold what aggregation reads; the hash."""
    folder.mkdir(parents=True, exist_ok=True)
    stages = ("train_model", "quantize_model", "pack_artifact")
    specs = {stage: plan.specs.sha256(stage, model) for stage in stages}
    (folder / "checkpoint.safetensors").write_bytes(b"placeholder")
    done = {"event": "done", "seconds": 560.0, "steps": 0, "parameters": 1}
    (folder / "metrics.jsonl").write_text(sealed(json.dumps(done)))
    (folder / "quantized.safetensors").write_bytes(b"placeholder")
    report = {"calibration_seconds": 10.6, "quantize_seconds": 9.0}
    write_json(folder / "quantize.json", report | {"quantize_model": specs["quantize_model"]})
    (folder / "artifact.bin").write_bytes(str(folder).encode())
    artifact = sha256_of(folder / "artifact.bin")
    ledger = {"seed": seed, "artifact_sha256": artifact, "total_bytes": 1, "seconds": 10.0}
    write_json(folder / "ledger.json", {"specs": specs} | ledger)
    read = [Path("results/corpus/manifest.json")]
    for stage, names in (
        ("train_model", ("checkpoint.safetensors", "metrics.jsonl")),
        ("quantize_model", ("quantized.safetensors", "quantize.json")),
        ("pack_artifact", ("artifact.bin", "ledger.json")),
    ):
        wrote = [folder / name for name in names]
        record(plan, stage, read, *wrote, model=model, seed=seed)
        read = wrote[:1]
    return artifact


def write_scores(
    place: Place,
    model: str,
    seed: int,
    folder: Path,
    artifact: str,
    nll: np.ndarray,
    entropy: np.ndarray,
) -> None:
    """Score shards of all ranks, and the model's distributions at the audit's targets."""
    specs, ranks = place.plan.specs, place.plan.ranks
    spec = specs.sha256("score_targets", model)
    for rank in ranks:
        first, last = place.windows.rank_targets(rank, len(ranks))
        part = slice(first - 1, last)
        path = folder / "scores" / f"rank{rank}.npz"
        Scores(first, nll[part], entropy[part], artifact, spec).save(path)
        stats = {"spec": spec, "load_seconds": 1.0, "seconds": 100.0}
        write_json(path.with_suffix(".json"), stats)
        wrote, keys = (path, path.with_suffix(".json")), {"model": model, "seed": seed}
        record(place.plan, "score_targets", [folder / "artifact.bin"], *wrote, **keys, rank=rank)
    wanted = audit_targets(place.plan.config["audit"], place.windows.targets)
    known = made_up_distributions(place, wanted, nll)
    stays = np.ones(len(wanted.changed), dtype=bool)
    spec = specs.sha256("audit_model", model)
    ModelEvidence(*wanted, stays, spec, known, artifact).save(folder / "audit.npz")
    read = [folder / "artifact.bin"]
    record(place.plan, "audit_model", read, folder / "audit.npz", model=model, seed=seed)


def made_up_distributions(place: Place, wanted: AuditTargets, nll: np.ndarray) -> np.ndarray:
    """Distributions that give the targets' tokens what the scores say, and all others the same."""
    vocabulary = place.plan.config["corpus"]["vocabulary"]
    own = np.exp(-nll[wanted.sampled - 1].astype(np.float64))
    known = np.repeat((1 - own)[:, None] / (vocabulary - 1), vocabulary, axis=1)
    known[np.arange(len(own)), place.tokens[wanted.sampled]] = own
    return known
