"""What the checks of a scorer found: a table, JSON, and a page for every check that failed.

What a page explains is the check's section of docs/is_my_score_valid.md, so that it is said once.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from fairway.audit.case import FAILED, NOT_CHECKED, Case, Finding
from fairway.audit.scorer_checks import CHECKS, is_code_length
from fairway.stage import atomic_output

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "is_my_score_valid.md"
_TROUBLE = "When it crashes, hangs or prints"
_NOT_MADE = "not_checked"


def score(case: Case, found: dict[str, Finding]) -> dict[str, float | None]:
    """Bits per token and byte, as reported and with log2 Z charged for every target.

    Z is the mean over the targets that were drawn at random, with its standard error.
    """
    bits, targets = float(case.nats.sum() / math.log(2)), case.text.targets
    logs = found["normalised"].figures.get("mean_log2_z")
    known = case.text.target_bytes
    size = None if known is None else int(known.sum(dtype=np.int64))
    figures = {
        "bits_per_token": bits / targets,
        "bits_per_byte": bits / size if size else None,
        "mean_z": found["normalised"].figures.get("mean_z"),
        "mean_log2_z": logs,
        "standard_error": found["normalised"].figures.get("standard_error"),
    }
    if logs is not None:
        charged = bits + logs * targets
        figures["normalised_bits_per_token"] = charged / targets
        figures["normalised_bits_per_byte"] = charged / size if size else None
    return {name: finite(value) for name, value in figures.items()}


def finite(value: Any) -> Any:
    """The value as JSON can hold it: None for what is not a finite number."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def first_fault(found: dict[str, Finding]) -> tuple[str, int] | None:
    """The failed check with the earliest target at fault, and that target."""
    faults = [
        (finding.target, name) for name, finding in found.items() if finding.target is not None
    ]
    return (min(faults)[1], min(faults)[0]) if faults else None


def verdict_line(found: dict[str, Finding], case: Case | None) -> str:
    """The verdict in words."""
    sound, fault = is_code_length(found), first_fault(found)
    if sound:
        return "a code length, as far as running it shows"
    if sound is None:
        names = [name for name, finding in found.items() if finding.outcome == NOT_CHECKED]
        return f"not checked: {', '.join(names)} could not be made"
    names = ", ".join(name for name, finding in found.items() if finding.outcome == FAILED)
    where = f"; first at {case.at(fault[1])}, by {fault[0]}" if fault and case else ""
    return f"not a code length: {names}{where}"


def as_json(
    name: str, found: dict[str, Finding], case: Case | None, notes: list[str]
) -> dict[str, Any]:
    """All of it. case: None if the scorer did not even run once."""
    fault = first_fault(found)
    text = case and {key: getattr(case.text, key) for key in ("name", "vocabulary", "targets")}
    return {
        "scorer": name,
        "kind": case and case.traits.kind,
        "text": text,
        "is_code_length": is_code_length(found),
        "verdict": verdict_line(found, case),
        "first_fault": fault
        and {"check": fault[0], "target": fault[1], "token": int(case.text.tokens[fault[1]])},
        "score": case and score(case, found),
        "checks": {
            check: {
                "conditions": CHECKS[check].conditions,
                "outcome": finding.outcome,
                "found": finding.found,
                "target": finding.target,
                "seconds": finding.seconds,
                "figures": finite(finding.figures),
            }
            for check, finding in found.items()
        },
        "notes": notes,
    }


def table(report: dict[str, Any]) -> str:
    """The report as lines for a terminal."""
    rows = [("check", "tests", "result", "found")]
    rows += [
        (name, check["conditions"], check["outcome"], check["found"])
        for name, check in report["checks"].items()
    ]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:3]]
    lines = ["  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in rows]
    if report["score"]:
        lines += ["", _score_line(report["score"])]
    lines += [f"note: {note}" for note in report["notes"]]
    return "\n".join([*lines, f"verdict: {report['verdict']}"])


def _score_line(figures: dict[str, float | None]) -> str:
    def shown(prefix: str) -> str:
        token, size = (figures.get(f"{prefix}bits_per_{unit}") for unit in ("token", "byte"))
        words = "?" if token is None else f"{token:.4f} bits per token"
        return words if size is None else f"{words}, {size:.4f} per byte"

    line = f"score: {shown('')}"
    if figures["mean_log2_z"] is not None:
        error = figures["standard_error"] or 0.0
        line += f"; mean Z {figures['mean_z']:.6g}, normalised {shown('normalised_')}"
        line += f" (± {error:.4f} bits per token)" if error else ""
    return line


def section(title: str) -> str:
    """A section `### title` of the guide, without its heading."""
    _, _, rest = GUIDE.read_text().partition(f"\n### {title}\n")
    ends = [place for place in (rest.find("\n### "), rest.find("\n## ")) if place >= 0]
    return rest[: min(ends, default=len(rest))].strip()


def write_pages(report: dict[str, Any], folder: Path) -> list[Path]:
    """A page for every check that failed, one for those that could not be made; old ones go."""
    head = f"Scorer: {report['scorer']}."
    pages, not_made = {}, []
    for name, check in report["checks"].items():
        if check["outcome"] == FAILED:
            figures = [f"- {key}: {value}" for key, value in check["figures"].items()]
            facts = [f"{head} Tests: {check['conditions']}.", f"**{check['found']}**"]
            parts = [f"# `{name}` failed", *facts, "\n".join(figures), section(f"`{name}`")]
            pages[name] = "\n\n".join(filter(None, parts))
        elif check["outcome"] == NOT_CHECKED:
            not_made.append(f"- `{name}`: {check['found']}")
    if not_made:
        parts = ["# Not checked", head, "\n".join(not_made), section(_TROUBLE)]
        pages[_NOT_MADE] = "\n\n".join(parts)
    for name in (*CHECKS, _NOT_MADE):
        (folder / f"{name}.md").unlink(missing_ok=True)
    paths = {folder / f"{name}.md": text for name, text in pages.items()}
    for path, text in paths.items():
        with atomic_output(path) as temporary:
            temporary.write_text(f"{text}\n")
    return list(paths)
