"""Evaluation at the record's size without its models: counts, gates, audits and tables, timed.

    python bench/full_size.py                         # the tokens of results/corpus, as all others
    python bench/full_size.py --tokens 2000000 --directory /tmp/smaller
    python bench/full_size.py SHARDS --tokenizer fineweb_1024_bpe.model

The validation text is real tokens extended to 62,021,632 (bench/extend_text.py). In place of what
only a trained model gives, its score shards and the distributions at the audit's targets are made
up, of plausible size and spread; files of training and packing are placeholders. All else is the
pipeline itself on config/fineweb.yaml: every row, seed and rank, run by ./run. Proofs are left
out, since they run the model. Then one number of each gate is changed and a row of it is run
again. Prints wall time, CPU seconds (which hardly depend on what else is running), memory of the
largest process, and bytes on disk by stage.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "stages"))
from fairway.start import run

from full_size_inputs import RECORD, ROOT, Run, make_up, planned, record

from fairway.stage import read_json, sha256_of, write_json

RECORD_TOKENS = 62_021_632
CHANGES = {  # a row of each gate, and another number for that gate
    "published_hashed7": {"uniform": {"threshold": 3.5}},
    "published_hashed15_adaptive": {"adaptive": {"threshold_low_order": 4.0}},
    "published_exact15_adaptive": {"adaptive": {"threshold_low_order": 4.2}},
    "published_exact15_bayes": {"bayes": {"learning_rate": 0.3}},
}


class Took(NamedTuple):
    """Seconds of a ./run by the clock, CPU seconds of all its processes, GB of the largest."""

    wall: float
    cpu: float
    peak: float

    def cells(self) -> str:
        """The end of a line of the table."""
        return f"{self.wall:.0f} | {self.cpu:.0f} | {self.peak:.2f} |"


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


def timed(run: Run, targets: list[str], changed: dict[str, Any]) -> Took:
    """What ./run takes for these targets."""
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
    cpu = usage.ru_utime + usage.ru_stime  # of the jobs as well
    return Took(time.monotonic() - start, cpu, usage.ru_maxrss * 1024 / 1e9)


def rerun(run: Run, row: str, changed: dict[str, Any]) -> Took:
    """Run one row again with a changed gate, and make up its proof."""
    took = timed(run, [f"results/rows/{row}/audit.json"], changed)
    write_proofs(run, changed)
    return took


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
    print("| ./run | wall s | CPU s | GB of the largest process |\n|---|--:|--:|--:|", flush=True)
    took = timed(this, audits, {})
    print(f"| all counts, rows and audits, from scores | {took.cells()}", flush=True)
    for row, changed in CHANGES.items():
        took = rerun(this, row, changed)
        print(f"| `{row}` after {json.dumps(changed)} | {took.cells()}", flush=True)
    timed(this, audits, {})
    write_proofs(this, {})
    print(f"| tables | {timed(this, ['results/summary.csv'], {}).cells()}")
    print("\n| stage | files | MB |\n|---|--:|--:|")
    for stage, files, size in disk(Path("results")):
        print(f"| {stage} | {files} | {size / 1e6:,.1f} |")


if __name__ == "__main__":
    run(main)
