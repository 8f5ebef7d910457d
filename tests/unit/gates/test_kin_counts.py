"""The kin's counts against dictionaries, at every target; what is forgotten, and room."""

import numpy as np
import pytest

from fairway.corpus.shards import BOS
from fairway.gates.kin_counts import (
    AHEAD,
    ANCHOR,
    STRETCH,
    fitted_kin,
    is_anchor,
    new_kin,
    observe_kin,
    read_kin_contexts,
    read_kin_hits,
    read_kin_successors,
)
from fairway.gates.kin_grams import (
    context_value,
    count_gram,
    forget_grams,
    gram_hits,
    grams_with_room,
    has_gram_room,
    new_grams,
    widen_for,
)
from support.gate_reference import Kin

LEVELS = np.array([0, 1], dtype=np.uint64)


def related(documents: int, vocabulary: int, seed: int = 0) -> np.ndarray:
    """uint16: documents that hold changed runs of three long phrases; without a BOS at first."""
    generator = np.random.default_rng(seed)
    phrases = generator.integers(2, vocabulary, (3, 300))
    parts = []
    for _ in range(documents):
        size = int(generator.integers(9, 200))
        begin = int(generator.integers(0, 300 - size))
        own = phrases[generator.integers(3)][begin : begin + size].copy()
        own[generator.integers(0, size, size // 20)] = generator.integers(
            2, vocabulary, size // 20
        )
        parts.extend([own, [BOS]])
    return np.concatenate(parts).astype(np.uint16)


def counts_at(kin, token: int) -> list[tuple[int, int, int]]:
    """Total, distinct and hits of both orders, before `token`."""
    total, distinct, hits = np.zeros((3, 1, 2), dtype=np.uint32)
    read_kin_contexts(kin, LEVELS, total, distinct, 0)
    read_kin_hits(kin, LEVELS, token, total, hits, 0)
    return list(zip(total[0].tolist(), distinct[0].tolist(), hits[0].tolist(), strict=True))


@pytest.mark.parametrize("memory", [0, 700])
def test_every_count_is_that_of_dictionaries(memory):
    text, reference = related(40, 400), Kin()
    kin = new_kin(text[:memory])
    for token in text[:memory].tolist():
        reference.take(token)
    reference.meet_nobody()
    for j, token in enumerate(text[memory:].tolist()):
        kin = fitted_kin(kin, 1, 1)
        after = [reference.followers(order) for order in (2, 3)]
        expected = [(found.total(), len(found), found[token]) for found in after]
        assert counts_at(kin, token) == expected, j
        for level in np.flatnonzero([found.total() for found in after]):
            every = np.empty(400, dtype=np.uint32)
            read_kin_successors(kin, level, every)
            assert every.tolist() == [after[level][other] for other in range(400)]
        observe_kin(kin, token)
        reference.take(token)
    assert reference.meetings > 50


def test_a_document_is_no_kin_of_its_own():
    run = np.arange(2, 40, dtype=np.uint16)
    kin = new_kin(np.zeros(0, dtype=np.uint16))
    for token in np.tile(run, 4):
        kin = fitted_kin(kin, 1, 1)
        observe_kin(kin, token)
        assert counts_at(kin, 0) == [(0, 0, 0)] * 2


def test_what_followed_a_meeting_is_known_as_far_as_it_says():
    """An anchor of the second document shows what is ahead of it in the first, to its end."""
    first = np.arange(2, 92, dtype=np.uint16)
    kin = new_kin(np.array([BOS, *first, BOS], dtype=np.uint16))
    stop = next(at for at in range(20, 90) if is_anchor(first, at))
    for token in first[stop - ANCHOR : stop]:
        kin = fitted_kin(kin, 1, 1)
        observe_kin(kin, token)
    known = [
        token for token in first.tolist() if gram_hits(kin.grams, 0, np.uint64(token - 1), token)
    ]
    place = stop + 1  # of the token behind the anchor; the BOS is at 0
    begin = place // STRETCH * STRETCH
    assert known == first[begin - 1 : begin - 1 + AHEAD * STRETCH].tolist()


def test_grams_are_exact_through_growing_and_forgetting():
    generator, grams = np.random.default_rng(3), new_grams()
    for documents in range(60):
        tokens = generator.integers(0, 1 << 16, int(generator.integers(3, 900))).astype(np.uint16)
        tokens[::2] = generator.integers(5)
        grams = grams_with_room(grams, len(tokens))
        seen, orders = set(), [{}, {}]
        for at in range(2, len(tokens)):
            widen_for(grams, 1)
            count_gram(grams, tokens, at)
            gram = tuple(tokens[at - 2 : at + 1].tolist())
            orders[1].setdefault(gram[:2], []).append(gram[2])
            if gram not in seen:
                orders[0].setdefault(gram[1:2], []).append(gram[2])
            seen.add(gram)
        for level, found in enumerate(orders):
            for context, after in list(found.items())[:50]:
                number = int.from_bytes(np.array(context, ">u2").tobytes())
                value = context_value(grams, level, np.uint64(number))
                assert value == (len(after), len(set(after))), documents
                hits = gram_hits(grams, level, np.uint64(number), after[0])
                assert hits == after.count(after[0])
        forget_grams(grams)
        assert not has_gram_room(grams, 1 << 20)


def test_nothing_comes_back_when_the_numbers_begin_anew():
    grams, tokens = new_grams(), np.array([5, 6, 7], dtype=np.uint16)
    count_gram(grams, tokens, 2)
    for _ in range(2 * (1 << 14)):
        forget_grams(grams)
        count_gram(grams, np.array([8, 9, 9], dtype=np.uint16), 2)  # so that it is not empty
        assert gram_hits(grams, 0, np.uint64(9), 9) == 1
        assert gram_hits(grams, 0, np.uint64(6), 7) == 0
