"""Overlap of validation and training text: as sets of tuples have it, and in one pass."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.corpus import overlap as module
from fairway.corpus.overlap import RUN_TOKENS, measure_overlap
from fairway.corpus.shards import BOS

WORDS = [[2] * 3, list(range(2, 9)), [5, 5, 6] * 4, list(range(30, 55)), [7]]


@st.composite
def texts(draw):
    """Documents of words that repeat, uint16, each with its BOS."""
    word = st.sampled_from(WORDS)
    documents = draw(st.lists(st.lists(word, max_size=9), min_size=1, max_size=5))
    tokens = [[BOS, *itertools.chain(*document)] for document in documents]
    return [np.array(document, dtype=np.uint16) for document in tokens]


def runs_of(document):
    """All runs of a document, as tuples."""
    tokens = document.tolist()
    return [tuple(tokens[i : i + RUN_TOKENS]) for i in range(len(tokens) - RUN_TOKENS + 1)]


def reference(val, train):
    """The same figures, by sets."""
    known = {run for document in train for run in runs_of(document)}
    found = [[run in known for run in runs_of(document)] for document in val]
    copies = {document.tobytes() for document in train}
    same = [i for i, d in enumerate(val) if len(d) > 1 and d.tobytes() in copies]
    mostly = sum(2 * sum(of_one) > len(of_one) for of_one in found)
    contents = [document.tobytes() for document in val if len(document) > 1]
    repeated = len(contents) - len(set(contents))
    return sum(map(len, found)), sum(map(sum, found)), mostly, same, repeated


def starts_of(documents):
    return np.cumsum([0, *map(len, documents)])[:-1]


@settings(max_examples=80, deadline=None)
@given(texts(), texts(), st.data())
def test_as_sets_of_tuples_have_it(val, train, data):
    train = train + val[: data.draw(st.integers(0, len(val)))]
    val = val + val[: data.draw(st.integers(0, len(val)))]
    whole = np.concatenate(train)
    cut = data.draw(st.integers(0, len(whole)))
    found = measure_overlap(np.concatenate(val), starts_of(val), [whole[:cut], whole[cut:]])
    runs, known, mostly, same, repeated = reference(val, train)
    assert (found.runs, found.runs_in_training, found.documents_mostly) == (runs, known, mostly)
    assert found.duplicates == len(same) and list(found.duplicate_documents) == same
    assert found.repeated == repeated
    assert ("of an earlier validation document" in found.in_words()) == (repeated > 0)


@pytest.mark.parametrize("hashed", [0, 2**64 - 1, 2**63 + 5])
def test_equal_hashes_decide_nothing(monkeypatch, hashed):
    generator = np.random.default_rng(0)
    val = [np.array([BOS, *generator.integers(2, 9, 60)], dtype=np.uint16) for _ in range(3)]
    train = [*val[:1], np.array([BOS, *generator.integers(2, 9, 200)], dtype=np.uint16)]

    def same(tokens: np.ndarray) -> np.ndarray:
        return np.full(len(tokens), hashed, dtype=np.uint64)

    monkeypatch.setattr(module, "_hash_runs", same)
    found = measure_overlap(np.concatenate(val), starts_of(val), train)
    runs, known, mostly, copies, _ = reference(val, train)
    assert (found.runs, found.runs_in_training, found.documents_mostly) == (runs, known, mostly)
    assert list(found.duplicate_documents) == copies == [0]


def test_long_texts_are_read_in_pieces(monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 64)
    tokens = np.random.default_rng(1).integers(2, 9, 1000).astype(np.uint16)
    tokens[0] = BOS
    done = []
    found = measure_overlap(tokens, np.array([0]), [tokens[:500], tokens[500:]], done.append)
    assert found.runs == found.runs_in_training == 1000 - RUN_TOKENS + 1
    assert len(done) == 16 and found.duplicates == 1


@pytest.mark.parametrize("shards", [[], [np.zeros(0, np.uint16)]])
def test_no_training_text(shards):
    found = measure_overlap(np.array([BOS, *range(2, 40)], np.uint16), np.array([0]), shards)
    assert (found.runs_in_training, found.documents_mostly, found.duplicates) == (0, 0, 0)
