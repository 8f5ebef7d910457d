"""Where a row's nats lie: every sum against a plain loop, and the whole against the row's sums."""

import numpy as np
import pytest

from fairway.corpus.shards import BOS
from fairway.counting.caches import CacheSettings, count_targets
from fairway.rows.gate import Piece, row_gate
from fairway.rows.profile import STRETCHES, Profile
from fairway.rows.profiling import Profiler, matched
from fairway.stage import StageError
from support.tiny_mixing import CACHE, model_scores, order_counts, plan_of, text

TARGETS = 700
TOKENS = text(TARGETS)
SIZES = np.random.default_rng(3).integers(0, 9, TARGETS).astype(np.uint16)
MATCH = CACHE | {"output": "match", "update": "segment", "min_order": 3}
GATES = {
    "neural": (None, None),
    "match": ({"kind": "fixed", "alpha": 0.25}, MATCH),
    "bayes": (
        {"kind": "empirical_bayes", "learning_rate": 0.25, "document_orders": 3}
        | {"continuation_orders": 2},
        CACHE,
    ),
}


def counts_of(cache: dict | None) -> tuple | None:
    if cache is None:
        return None
    if cache["output"] == "orders":
        return tuple(order_counts(TOKENS, cache))
    settings = CacheSettings.from_settings(cache)
    found = count_targets(TOKENS, plan_of(TOKENS), 1, TARGETS, settings)
    return found.order, found.hits, found.total


def walk(kind: str, cuts: list[int]):
    """Profile, the nats of all targets, and the counts, mixed in pieces that end at `cuts`."""
    gate, cache = GATES[kind]
    counts, (_, nll, entropy) = counts_of(cache), model_scores(TOKENS)
    settings = CacheSettings.from_settings(cache) if cache else None
    plain = row_gate(gate, cache)
    profiler = Profiler(plain, TOKENS, SIZES, BOS, settings)
    state, found = profiler.start(), []
    for first, stop in zip([0, *cuts], [*cuts, TARGETS], strict=True):
        part = slice(first, stop)
        of_part = counts and tuple(array[part] for array in counts)
        piece = Piece(
            first + 1, nll[part].astype(np.float32), entropy[part].astype(np.float32), of_part
        )
        found.append(profiler.nats(state, TOKENS[1:][part], piece))
    return profiler.profile("spec"), np.concatenate(found), counts


@pytest.mark.parametrize("kind", GATES)
def test_every_sum_is_a_plain_loops(kind):
    profile, nats, counts = walk(kind, [1, 200, 201, 500])
    document, documents = -1, []
    for target in range(TARGETS + 1):
        if TOKENS[target] == BOS:
            document += 1
            documents.append([0.0, 0])
        if target:
            documents[document][0] += nats[target - 1]
            documents[document][1] += int(SIZES[target - 1])
    expected = np.array(documents)
    assert len(documents) > 20
    np.testing.assert_allclose(profile.document_nats, expected[:, 0], rtol=1e-12)
    assert profile.document_bytes.tolist() == expected[:, 1].tolist()
    assert len(profile.stretch_nats) == STRETCHES
    ends = [TARGETS * part // STRETCHES for part in range(1, STRETCHES + 1)]
    nats_of, bytes_of = ([part.sum() for part in np.split(of, ends[:-1])] for of in (nats, SIZES))
    np.testing.assert_allclose(profile.stretch_nats, nats_of, rtol=1e-12)
    assert profile.stretch_bytes.tolist() == bytes_of
    if counts is None:
        assert profile.order_targets.size == 0
        return
    order, hit = matched(counts, GATES[kind][1]["min_order"])
    for value in range(5):
        of_order = order == value
        assert profile.order_targets[value] == of_order.sum()
        assert profile.order_hits[value] == (of_order & hit).sum()
        assert profile.order_nats[value] == pytest.approx(nats[of_order].sum(), abs=1e-9)


def test_pieces_do_not_matter():
    whole, nats, _ = walk("bayes", [])
    cut, other, _ = walk("bayes", [64, 65, 333])
    assert np.array_equal(nats, other)
    np.testing.assert_allclose(whole.document_nats, cut.document_nats, rtol=1e-12)


def test_the_order_that_matched_among_all_orders():
    totals = np.array([[0, 0, 0], [5, 0, 0], [5, 2, 1], [5, 2, 0]])
    hits = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 2, 0]])
    order, hit = matched((totals, hits, totals), 2)
    assert order.tolist() == [0, 2, 4, 3] and hit.tolist() == [False, True, False, True]


def test_a_text_that_begins_inside_a_document():
    tokens = np.array([5, 3, BOS, 4], np.uint16)
    profiler = Profiler(row_gate(None, None), tokens, np.array([2, 0, 1], np.uint16), BOS, None)
    piece = Piece(1, np.array([1, 2, 4], np.float32), np.zeros(3, np.float32), None)
    profiler.nats(profiler.start(), tokens[1:], piece)
    found = profiler.profile("")
    assert found.document_nats.tolist() == [1, 6] and found.document_bytes.tolist() == [2, 1]
    shorter_than_the_stretches = found.stretch_nats[found.stretch_nats > 0]
    assert shorter_than_the_stretches.tolist() == [1, 2, 4]


def test_it_comes_back_from_its_file(tmp_path):
    profile = walk("match", [])[0]
    profile.save(tmp_path / "a.npz")
    again = Profile.load(tmp_path / "a.npz")
    for name, value in profile.__dict__.items():
        assert np.array_equal(value, getattr(again, name)), name
    (tmp_path / "b.npz").write_bytes(b"PK")
    with pytest.raises(StageError, match=r"b\.npz"):
        Profile.load(tmp_path / "b.npz")
