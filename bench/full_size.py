"""Evaluation at the record's size without its models: counts, gates, audits and tables, timed.

    python bench/full_size.py                         # the tokens of results/corpus, as all others
    python bench/full_size.py --tokens 2000000 --directory /tmp/smaller
    python bench/full_size.py SHARDS --tokenizer fineweb_1024_bpe.model

The validation text is real tokens extended to 62,021,632 (bench/extend_text.py). In place of what
only a trained model gives, its score shards and the distributions at the audit's targets are made
up, of plausible size and spread; files of training and packing are placeholders. All else is the
pipeline itself on config/fineweb.yaml: every row, seed and rank, run by ./run. Proofs are left
out, since they run the model. Then one number of each gate is changed and a row of it is run
again. Prints wall time, memory of the largest process, and bytes on disk by stage.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from extend_text import extend

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "stages"))
from fairway.start import run

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
from fairway.stage import read_json, sha256_of, write_json
from fairway.workflow.jobs import provenance_pattern, spec_key
from fairway.workflow.plan import Plan

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "config" / "fineweb.yaml"
RECORD_TOKENS = 62_021_632
CHANGES = {  # a row of each gate, and another number for that gate
    "published_hashed7": {"uniform": {"threshold": 3.5}},
    "published_hashed15_adaptive": {"adaptive": {"threshold_low_order": 4.0}},
    "published_exact15_adaptive": {"adaptive": {"threshold_low_order": 4.2}},
    "published_exact15_bayes": {"bayes": {"learning_rate": 0.3}},
}


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


def write_proofs(run: Run, changed: dict[str, Any]) -> None:
    """Placeholders of the proofs, under the specs that the changed gates give."""
    plan = planned(run.override, changed)
    for row in plan.decodable:
        (artifact,) = plan.model_files(row, "artifact.bin", plan.seeds[:1])
        folder = Path(f"results/rows/{row}")
        (folder / "proof.fwtx").write_bytes(b"")
        bundle = read_json(folder / "ledger.json")["bundle_sha256"]
        known = {"spec": plan.specs.sha256("prove_row", row), "decoded": True}
        known |= {"bundle_sha256": bundle}
        write_json(folder / "proof.json", known | {"artifact_sha256": sha256_of(artifact)})
        wrote = folder / "proof.json", folder / "proof.fwtx"
        record(plan, "prove_row", [Path(artifact)], *wrote, row=row)


def timed(run: Run, targets: list[str], changed: dict[str, Any]) -> tuple[float, float]:
    """Wall seconds of ./run on these targets, and GB of its largest process."""
    gates = Path("gates.yaml").resolve()
    gates.write_text(yaml.safe_dump({"gates": changed}))
    command = [sys.executable, ROOT / "envs" / "launch.py", "--directory", Path.cwd()]
    command += ["--configfile", RECORD, run.override, gates, "--", *targets]
    start = time.monotonic()
    with Path("run.log").open("a") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"error: ./run ended with status {status}; see {Path('run.log').resolve()}")
    return time.monotonic() - start, usage.ru_maxrss * 1024 / 1e9


def rerun(run: Run, row: str, changed: dict[str, Any]) -> tuple[float, float]:
    """Run one row again with a changed gate, and make up its proof."""
    wall, peak = timed(run, [f"results/rows/{row}/audit.json"], changed)
    write_proofs(run, changed)
    return wall, peak


def disk(results: Path) -> Iterator[tuple[str, int, int]]:
    """Stage, number of files and bytes."""
    for stage, pattern in (
        ("encode_corpus", "corpus/val*"),
        ("score_targets", "models/*/*/scores/*"),
        ("audit_model", "models/*/*/audit.npz"),
        ("count_ngrams, hashed", "counts/hashed*/rank*"),
        ("count_ngrams, exact match", "counts/exact15/rank*"),
        ("count_ngrams, exact orders", "counts/exact15_orders/rank*"),
        ("audit_cache", "counts/*/audit.npz"),
        ("mix_scores", "rows/*/seed*"),
        ("audit_row", "rows/*/audit.json"),
        ("tables", "*.*"),
    ):
        files = [path for path in results.glob(pattern) if path.is_file()]
        yield stage, len(files), sum(path.stat().st_size for path in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    corpus = Path("results/corpus")
    shards = [corpus / "train.bin", corpus / "val.bin"]
    parser.add_argument("shards", type=Path, nargs="*", default=shards)
    parser.add_argument("--tokenizer", type=Path, default=corpus / "tokenizer.model")
    new = Path(tempfile.gettempdir()) / "full_size"
    parser.add_argument("--directory", type=Path, default=new, help="new; 8 GB at full size")
    parser.add_argument("--tokens", type=int, default=RECORD_TOKENS)
    options = parser.parse_args()
    options.shards = [path.resolve() for path in options.shards]
    options.tokenizer = options.tokenizer.resolve()
    options.directory.mkdir(parents=True)
    os.chdir(options.directory)
    with ProcessPoolExecutor(1) as pool:  # the system counts a parent's memory as its children's
        override = pool.submit(make_up, options).result()
    plan = planned(override, {})
    this, audits = Run(plan, override), [f"results/rows/{row}/audit.json" for row in plan.rows]
    print(f"{options.tokens:,} tokens, {len(plan.seeds)} seeds, {len(audits)} rows\n")
    print("| ./run | wall s | GB of the largest process |\n|---|--:|--:|", flush=True)
    wall, peak = timed(this, audits, {})
    print(f"| all counts, rows and audits, from scores | {wall:.0f} | {peak:.2f} |", flush=True)
    for row, changed in CHANGES.items():
        wall, peak = rerun(this, row, changed)
        print(f"| `{row}` after {json.dumps(changed)} | {wall:.0f} | {peak:.2f} |", flush=True)
    timed(this, audits, {})
    write_proofs(this, {})
    wall, peak = timed(this, ["results/summary.csv"], {})
    print(f"| tables | {wall:.0f} | {peak:.2f} |")
    print("\n| stage | files | MB |\n|---|--:|--:|")
    for stage, files, size in disk(Path("results")):
        print(f"| {stage} | {files} | {size / 1e6:,.1f} |")


if __name__ == "__main__":
    run(main)
