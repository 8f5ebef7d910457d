"""The ANS coder: near the entropy under its contexts, exact, and the same on any machine."""

import hashlib

import numpy as np
import pytest

from fairway.artifact.coders.adaptive import Decoder, Encoder, Model
from fairway.artifact.coders.ans import AnsCoder, _by_context, _classes
from fairway.artifact.coders.general import GeneralCoder
from fairway.files.compression import PackedError


def weights(rows: int, columns: int, clip: float, seed: int = 0) -> np.ndarray:
    """Integers of Gaussian weights with a step per matrix, ±31 at `clip` standard deviations;
    rows and columns of different sizes, as trained ones have."""
    generator = np.random.default_rng(seed)
    spread = [np.exp(0.3 * generator.standard_normal(size)) for size in (rows, columns)]
    values = generator.standard_normal((rows, columns)) * np.outer(*spread)
    return np.rint(values / values.std() * 31 / clip).clip(-31, 31).astype(np.int8)


def entropy(symbols: np.ndarray) -> float:
    """Bits of all symbols by their own frequencies."""
    counts = np.unique(symbols, return_counts=True)[1]
    return float((counts * np.log2(counts.sum() / counts)).sum())


@pytest.mark.parametrize("clip", [8.0, 12.85])
def test_integers_come_near_the_entropy_given_their_contexts_and_well_below_lzma(clip):
    integers = weights(512, 512, clip)
    rows, columns = _classes(integers)
    within = sum(entropy(integers.reshape(-1)[places]) for _, places in _by_context(rows, columns))
    coded = len(AnsCoder().pack("int6", [integers])[1])
    assert 8 * coded < 1.01 * (within + entropy(rows) + entropy(columns))
    assert coded < 0.956 * len(GeneralCoder("lzma").pack("int6", [integers])[1])


def test_learning_costs_a_few_bytes():
    generator = np.random.default_rng(0)
    symbols = np.rint(3 * generator.standard_normal(100_000)).astype(int).clip(-31, 31) + 31
    encoder = Encoder()
    encoder.put(symbols, Model(63))
    counts = np.bincount(symbols)
    entropy = (counts[counts > 0] * np.log2(len(symbols) / counts[counts > 0])).sum()
    assert len(encoder.finish()) < entropy / 8 + 60


def test_frequencies_are_whole_numbers_that_need_no_rounding():
    model = Model(63)
    for symbols in (np.zeros(0, int), np.full(10**6, 62), np.arange(63)):
        model.add(symbols)
        frequencies = model.frequencies()
        assert frequencies.dtype == np.int64 and frequencies.min() >= 0
        assert frequencies.sum() == 2**24 - 63


def test_a_model_can_learn_more_than_its_counts_can_hold():
    model = Model(3)
    for _ in range(40):
        model.add(np.full(10**6, 1))
        model._counts *= 8  # as if of as many more
    assert model.frequencies().sum() == 2**24 - 3 and model.frequencies().min() >= 0


@pytest.mark.parametrize(
    ("kind", "tensors"),
    [
        ("int6", [weights(7, 5, 8), np.zeros((3, 4), np.int8), np.zeros((0, 4), np.int8)]),
        ("int8", [np.full((1, 1), -127, np.int8), np.zeros((4, 0), np.int8)]),
        ("float16", [np.float16(3.5).reshape(()), np.zeros((2, 0), np.float16)]),
        ("float32", [np.arange(24, dtype=np.float32).reshape(2, 3, 4)]),
        ("scale", [np.full(5, 0.01, np.float16), np.zeros(0, np.float16)]),
        ("scale", []),
    ],
)
def test_odd_shapes_come_back(kind, tensors):
    size, code = AnsCoder().pack(kind, tensors)
    assert size == sum(tensor.nbytes for tensor in tensors)
    found = AnsCoder().unpack(kind, code, size, [tensor.shape for tensor in tensors])
    for before, after in zip(tensors, found, strict=True):
        assert before.dtype == after.dtype and np.array_equal(before, after)


def test_the_code_is_the_same_on_any_machine():
    """Fails if anything in it depends on a library's logarithm, or the format is changed."""
    generator = np.random.default_rng(5)
    integers = generator.integers(-3, 4, (8, 40, 60)).sum(axis=0).astype(np.int8)
    floats = (integers / 8).astype(np.float16)
    codes = [AnsCoder().pack(*part)[1] for part in (("int6", [integers]), ("float16", [floats]))]
    assert [hashlib.sha256(code).hexdigest()[:16] for code in codes] == [
        "4a79875fd8ff58b6",
        "708ce1a6128a6f5f",
    ]


@pytest.mark.parametrize("code", [b"", b"\1\0\0", b"\0\0\0\0", b"\1\2\3\4" * 50])
def test_other_words_are_refused_or_give_a_tensor_of_the_shape(code):
    try:
        found = AnsCoder().unpack("int6", code, 2400, [(40, 60)])
    except PackedError:
        return
    assert found[0].shape == (40, 60) and AnsCoder().pack("int6", found)[0] == 2400
    assert np.abs(found[0].astype(int)).max() <= 31


def test_words_left_over_are_refused():
    encoder = Encoder()
    encoder.put(np.arange(9), Model(9))
    decoder = Decoder(encoder.finish())
    decoder.take(4, Model(9))
    with pytest.raises(PackedError, match="more words"):
        decoder.finish()
