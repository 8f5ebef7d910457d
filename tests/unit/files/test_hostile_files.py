"""Damaged files with a right checksum, some hundred of each format: a line, or they are used."""

import resource
import time
from pathlib import Path

import numpy as np
import pytest

from support.hostile_files import formats, outcome
from support.specs import KINDS

CASES = {"artifact": 100, "fwtx": 40, "order_counts": 150, "match_counts": 150}
CASES |= dict.fromkeys(("spec_estimate", "spec_write_report"), 15)  # whole configurations
OTHERS = 200
MEMORY = 1 << 30  # bytes that reading may add
NAMES = (
    *("artifact", "fwtx", "memory", "checkpoint", "quantized", "resume", "scores"),
    *("match_counts", "order_counts", "cache_evidence", "model_evidence", "val_bytes", "shard"),
    *("manifest", "sums", "ledger", "row_ledger", "audit", "metrics"),
    *(f"spec_{stage}" for stage in KINDS),
)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return formats(tmp_path_factory.mktemp("formats"))


def test_every_format_is_tried(known):
    assert sorted(NAMES) == sorted(known)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_one_line_or_are_used(known, name: str, tmp_path: Path) -> None:
    path, form = tmp_path / name, known[name]
    path.write_bytes(form.valid())
    assert outcome(form.read, path) == "accepted"
    generator = np.random.default_rng(len(name))
    found: dict[str, int] = {}
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    cases = CASES.get(name, OTHERS)
    for _ in range(cases):
        path.write_bytes(form.damage(generator))
        result = outcome(form.read, path)
        found[result] = found.get(result, 0) + 1
    assert found.keys() <= {"refused", "accepted"}, found
    assert found["refused"] >= min(20, cases / 2), found
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < MEMORY and time.monotonic() - start < 120, (grown, found)
