"""Mixing a row's shards: coverage, provenance, carried sums."""

from dataclasses import replace

import numpy as np
import pytest

from fairway.counting.counts import MatchCounts
from fairway.rows.gate import row_gate
from fairway.rows.mixing import RankShard, mix_row, row_mixer
from fairway.scoring.scores import Scores
from fairway.stage import StageError

TARGETS = 30
TOKENS = np.arange(TARGETS + 1, dtype=np.uint16) % 7
BYTES = np.arange(1, TARGETS + 1, dtype=np.uint16)
GATE = {"kind": "fixed", "alpha": 0.25}
EXACT = {"kind": "exact", "max_order": 3, "output": "match"}


def shards(cuts: list[int], with_counts: bool = False) -> list[RankShard]:
    """Targets 1…TARGETS cut before the given targets; every value follows from the target."""
    found = []
    for first, stop in zip([1, *cuts], [*cuts, TARGETS + 1], strict=True):
        target = np.arange(first, stop)
        nll = (1 + target / 8).astype(np.float32)
        scores = Scores(first, nll, np.full(len(target), 2, np.float32), "artifact", "spec")
        counts = MatchCounts(
            first,
            (target % 3).astype(np.uint8),
            (target % 5).astype(np.uint32),
            np.full(len(target), 8, np.uint32),
            "counts",
        )
        found.append(RankShard(f"rank{len(found)}", scores, counts if with_counts else None))
    return found


def mixed(parts: list[RankShard], gate=None, cache=None):
    return mix_row(row_mixer(row_gate(gate, cache), TOKENS), parts, BYTES, "row", 1337, "mix")


def test_neural_row_adds_the_models_nats():
    sums = mixed(shards([11, 12]))
    assert [(part.first_target, part.targets) for part in sums.sums] == [
        (1, 10),
        (11, 1),
        (12, 19),
    ]
    assert sums.nats == pytest.approx(sum(1 + j / 8 for j in range(1, 31)), abs=1e-12)
    assert sums.bytes == 465
    assert sums.counts_spec is None


def test_sums_do_not_depend_on_the_number_of_ranks():
    one = mixed(shards([], True), GATE, EXACT)
    many = mixed(shards([2, 9, 30], True), GATE, EXACT)
    assert many.nats == pytest.approx(one.nats, rel=1e-15)
    assert (many.bytes, many.targets, many.counts_spec) == (one.bytes, one.targets, "counts")


def test_mixed_nats_follow_the_formula():
    expected = 0.0
    for j in range(1, TARGETS + 1):
        model = np.exp(-(1 + j / 8))
        p = model if j % 3 == 0 else 0.75 * model + 0.25 * (j % 5) / 8
        expected -= np.log(p)
    assert mixed(shards([], True), GATE, EXACT).nats == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda parts: parts[1:], "expected to go on from target 1"),
        (lambda parts: [parts[0], parts[2]], "expected to go on from target 11"),
        (lambda parts: parts[:2], "scores end at target 19; the validation text has 30"),
        (lambda parts: [parts[0], parts[0], *parts[1:]], "10 targets from target 1; expected"),
        (lambda parts: [], "scores end at target 0"),
    ],
    ids=["first missing", "middle missing", "last missing", "twice", "none"],
)
def test_every_target_is_needed_exactly_once(broken, message):
    with pytest.raises(StageError, match=message):
        mixed(broken(shards([11, 20])))


@pytest.mark.parametrize(
    ("field", "message"),
    [("artifact_sha256", "artifact_sha256 other; rank0"), ("spec", "scores' spec other; rank0")],
)
def test_ranks_must_come_from_one_artifact_and_spec(field, message):
    parts = shards([11, 20])
    parts[2] = replace(parts[2], scores=replace(parts[2].scores, **{field: "other"}))
    with pytest.raises(StageError, match=message):
        mixed(parts)


def test_counts_must_cover_the_targets_of_the_scores():
    parts = shards([11], True)
    swapped = [replace(parts[0], counts=parts[1].counts), parts[1]]
    with pytest.raises(StageError, match="expected the same targets"):
        mixed(swapped, GATE, EXACT)


@pytest.mark.parametrize(("gate", "cache"), [(GATE, None), (None, EXACT)])
def test_a_gate_needs_a_cache_and_a_cache_a_gate(gate, cache):
    with pytest.raises(StageError, match="expected both or neither"):
        row_gate(gate, cache)
