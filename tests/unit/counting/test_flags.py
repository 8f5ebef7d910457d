"""Flags of the stages of a cache that cannot be meant are refused by each of them."""

import sys

import pytest

import audit_cache
import count_ngrams
from fairway.counting.flags import check_cache_flags
from fairway.stage import StageError

PATHS = ("--spec", "s", "--manifest", "m", "--val", "v", "--provenance", "p")


@pytest.mark.parametrize(("stage", "output"), [(audit_cache, "evidence"), (count_ngrams, "stats")])
def test_flags_that_cannot_be_meant(monkeypatch, stage, output):
    def given(*flags: str) -> object:
        monkeypatch.setattr(sys, "argv", ["stage", *PATHS, f"--{output}", "o", *flags])
        return stage.arguments()

    options = given("--counts", "0", "1")
    check_cache_flags(options, 2)
    assert options.memory == [] and options.threads == 1
    with pytest.raises(StageError, match="--counts: 2 files; expected 3, one per rank"):
        check_cache_flags(options, 3)
    with pytest.raises(StageError, match="--threads: 0; expected at least 1"):
        check_cache_flags(given("--counts", "0", "1", "--threads", "0"), 2)
