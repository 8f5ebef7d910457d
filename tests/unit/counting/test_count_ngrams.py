"""The counting stage as a program: shards of all ranks, and bad input in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fairway.corpus.manifest import Manifest, TokenizerFile, TrainText, ValText
from fairway.corpus.shards import write_shard
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_ranks, count_targets
from fairway.counting.counts import MatchCounts
from fairway.counting.order_counts import OrderCounts
from fairway.stage import StageError, read_json, sha256_of, write_json

SCRIPT = Path(__file__).resolve().parents[3] / "stages" / "count_ngrams.py"
TOKENS = np.random.default_rng(0).integers(2, 40, 2001).astype(np.uint16)
RANKS = 3
WINDOWS = {"length": 256, "stride": 64}
DEFAULTS = {"min_order": 2, "min_count": 2, "prefill": True, "cross_documents": True}
DEFAULTS |= {"update": "segment", "output": "match", "memory": None}


@pytest.fixture
def corpus(tmp_path):
    write_shard(tmp_path / "val.bin", TOKENS)
    sha256 = sha256_of(tmp_path / "val.bin")
    val = ValText(1, len(TOKENS), len(TOKENS) - 1, 1, None, "decoded", "val.bin", sha256, "", "")
    tokenizer, train = TokenizerFile("tokenizer.model", ""), TrainText(0, 0, ())
    Manifest("", "text", 64, tokenizer, train, val, tmp_path).save(tmp_path / "manifest.json")
    return tmp_path


def run_stage(folder, cache, outputs=RANKS, **flags):
    settings = {"cache_settings": DEFAULTS | cache, "windows": WINDOWS, "ranks": RANKS}
    (folder / "spec.json").write_text(json.dumps({"code": "", "settings": settings}))
    options = {
        "--spec": folder / "spec.json",
        "--manifest": folder / "manifest.json",
        "--val": folder / "val.bin",
        "--threads": 1,
        "--stats": folder / "stats.json",
    }
    options |= {f"--{key}": value for key, value in flags.items()}
    command = [sys.executable, SCRIPT, "--counts"]
    command += [folder / f"rank{rank}.npz" for rank in range(outputs)]
    command += [part for option in options.items() for part in option]
    environment = os.environ | {"NUMBA_NUM_THREADS": "1"}
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize(
    "cache",
    [
        {"kind": "hashed", "max_order": 4, "buckets": 64},
        {"kind": "exact", "max_order": 4, "prefill": False},
        {"kind": "exact", "max_order": 4, "output": "orders"},
    ],
)
def test_every_rank_gets_its_counts_and_the_spec(corpus, cache):
    done = run_stage(corpus, cache, threads=2)
    assert done.returncode == 0, done.stderr
    plan, settings = WindowPlan(len(TOKENS) - 1, **WINDOWS), CacheSettings.from_settings(cache)
    kind = OrderCounts if settings.output == "orders" else MatchCounts
    for rank in range(RANKS):
        found = kind.load(corpus / f"rank{rank}.npz", settings)
        first, last = plan.rank_targets(rank, RANKS)
        expected = count_targets(TOKENS, plan, first, last, settings)
        assert (found.first_target, found.targets) == (first, last + 1 - first)
        assert found.spec == sha256_of(corpus / "spec.json")
        if settings.output == "match":
            for name in ("order", "hits", "total"):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        else:
            rows = zip(found.chunks(), expected.chunks(), strict=True)
            for ours, theirs in rows:
                np.testing.assert_array_equal(ours.totals, theirs.totals)
    stats = json.loads((corpus / "stats.json").read_text())
    assert (stats["targets"], stats["orders"]) == (2000, 3) and stats["peak_bytes"] > 1 << 20
    assert stats["spec"] == sha256_of(corpus / "spec.json")


GOOD = {"kind": "hashed", "max_order": 4, "buckets": 64}


@pytest.mark.parametrize(
    ("cache", "outputs", "flags", "message"),
    [
        (GOOD | {"max_order": 65}, 3, {}, "cache.max_order: 65; expected a whole number from 1"),
        (GOOD | {"buckets": 100}, 3, {}, "cache.buckets: 100; expected a power of two"),
        (GOOD, 2, {}, "--counts: 2 files; expected 3, one per rank"),
        (GOOD, 3, {"threads": 0}, "--threads: 0; expected at least 1"),
        (GOOD, 3, {"val": "none.bin"}, "none.bin: no such file"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(corpus, cache, outputs, flags, message):
    done = run_stage(corpus, cache, outputs, **flags)
    assert done.returncode == 2
    assert done.stderr.startswith("count_ngrams.py: error: ")
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not list(corpus.glob("*rank*"))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.append(TOKENS[:-1], np.uint16(64)), "token id 64 at position 2000"),
        (TOKENS[:2], "expected at least one window"),
    ],
)
def test_texts_that_cannot_be_counted_are_refused(corpus, tokens, message):
    write_shard(corpus / "val.bin", tokens)
    manifest = read_json(corpus / "manifest.json")
    sizes = {"tokens": len(tokens), "targets": len(tokens) - 1}
    manifest["val"] |= sizes | {"sha256": sha256_of(corpus / "val.bin")}
    write_json(corpus / "manifest.json", manifest)
    done = run_stage(corpus, GOOD)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_ranks_beyond_the_windows_are_refused():
    plan = WindowPlan(len(TOKENS) - 1, **WINDOWS)
    settings = CacheSettings.from_settings(GOOD)
    with pytest.raises(StageError, match="ranks: 1000; the validation text has only"):
        list(count_ranks(TOKENS, plan, 1000, settings))
    with pytest.raises(StageError, match="rank 8: expected 0 to 7"):
        plan.rank_targets(8, 8)
