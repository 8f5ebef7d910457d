"""Every example in examples/scorers/ through check_scorer: is each classified right, and how fast?

    python bench/scorer_zoo.py

Prints one Markdown table: what each scorer is, what is reported, Z and the normalised score, which
checks catch it. The baseline is what the example says of itself, `FAILS`: exit code 1 if it passes
one of these, or a valid one fails any. Two at a time; a minute or two on two cores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "stages"))
from fairway.start import run

from fairway.audit.case import FAILED
from fairway.audit.zoo import Example, examples
from fairway.stage import StageError

ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = 512


def check(example: Example, targets: int, folder: Path) -> tuple[dict[str, Any], float]:
    """check_scorer's report on an example, and seconds."""
    out = folder / example.name
    command = [sys.executable, str(ROOT / "stages/check_scorer.py"), example.command(VOCABULARY)]
    command += ["--targets", str(targets), "--out", str(out)]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    if not (out / "check.json").is_file():
        raise StageError(f"{example.name}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads((out / "check.json").read_text()), time.monotonic() - start


def line(example: Example, report: dict[str, Any], seconds: float) -> str:
    """A row of the table."""
    score, checks = report["score"], report["checks"]
    largest = [checks[name]["figures"].get("max_z") for name in ("normalised", "blind")]
    figures = [
        score["bits_per_token"],
        score["mean_z"],
        max(filter(None, largest), default=None),
        score.get("normalised_bits_per_token"),
    ]
    shown = " | ".join("" if value is None else f"{value:.4g}" for value in figures)
    failed = ", ".join(f"`{name}`" for name in failed_of(report)) or "–"
    verdict = "yes" if report["is_code_length"] else "no"
    return f"| {example.name} | {example.says} | {shown} | {verdict} | {failed} | {seconds:.0f} |"


def failed_of(report: dict[str, Any]) -> list[str]:
    """IDs of the checks that failed."""
    return [name for name, found in report["checks"].items() if found["outcome"] == FAILED]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--targets", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    start, wrong = time.monotonic(), []
    heads = ["scorer", "what it does", "reported", "mean Z", "largest Z", "normalised", "valid"]
    print("| " + " | ".join([*heads, "caught by", "seconds"]) + " |")
    print("|---|---|--:|--:|--:|--:|:-:|---|--:|")
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(options.jobs) as pool:
        zoo = examples()
        reports = pool.map(lambda each: check(each, options.targets, Path(name)), zoo)
        for example, (report, seconds) in zip(zoo, reports, strict=True):
            print(line(example, report, seconds), flush=True)
            if not example.agrees(failed_of(report)):
                wrong.append(example.name)
    right = len(zoo) - len(wrong)
    print(f"\n{right} of {len(zoo)} as they say, {time.monotonic() - start:.0f} s")
    if wrong:
        sys.exit(f"not as they say: {', '.join(wrong)}")


if __name__ == "__main__":
    run(main)
