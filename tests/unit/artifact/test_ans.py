"""The ANS coder: near the entropy under its contexts, exact, and the same on any machine."""

import hashlib
import math

import numpy as np
import pytest

from fairway.artifact.coders.adaptive import Blocks, Decoder, Encoder, Model
from fairway.artifact.coders.ans import AnsCoder
from fairway.artifact.coders.entropy import section_bits
from fairway.artifact.coders.general import GeneralCoder
from fairway.artifact.coders.models import expected_counts
from fairway.artifact.coders.references import differences, find_references, sums
from fairway.files.compression import PackedError


def weights(rows: int, columns: int, clip: float, seed: int = 0) -> np.ndarray:
    """Integers of Gaussian weights with a step per matrix, ±31 at `clip` standard deviations;
    rows and columns of different sizes, as trained ones have."""
    generator = np.random.default_rng(seed)
    spread = [np.exp(0.3 * generator.standard_normal(size)) for size in (rows, columns)]
    values = generator.standard_normal((rows, columns)) * np.outer(*spread)
    return np.rint(values / values.std() * 31 / clip).clip(-31, 31).astype(np.int8)


def even(size: int) -> Model:
    return Model(np.ones(size), Blocks())


@pytest.mark.parametrize("clip", [8.0, 12.85])
def test_integers_come_near_the_entropy_given_their_contexts_and_well_below_lzma(clip):
    integers = weights(512, 512, clip)
    coded = len(AnsCoder().pack("int6", [integers])[1])
    assert 8 * coded < 1.003 * section_bits([integers], 31)
    assert coded < 0.956 * len(GeneralCoder("lzma").pack("int6", [integers])[1])


def test_integers_come_near_the_entropy_of_their_source():
    """Gaussian of sizes that no coder is told: within 0.7 % of what it takes who knows them."""
    generator, (rows, columns) = np.random.default_rng(1), (512, 512)
    sizes = 2.0 ** np.add.outer(*(generator.normal(0.5, 0.4, n) for n in (rows, columns)))
    integers = np.rint(generator.standard_normal((rows, columns)) * sizes).clip(-127, 127)
    edges = (np.abs(integers)[..., None] + [-0.5, 0.5]) / sizes[..., None] / math.sqrt(2)
    below, above = np.moveaxis(np.vectorize(math.erf)(edges) / 2, -1, 0)
    source = -np.log2(above - below).sum()
    coded = 8 * len(AnsCoder().pack("int8", [integers.astype(np.int8)])[1])
    assert source < coded < 1.007 * source


def test_what_a_context_is_taken_for_is_as_wide_as_the_context_says():
    for context, mean in ((129, 1.0), (149, 2**2.5), (160, 2.0 ** (31 / 8))):
        counts = expected_counts(context, 127)
        shares = (counts - 1) / (counts - 1).sum()
        assert (shares * np.abs(np.arange(-127, 128))).sum() == pytest.approx(mean, rel=0.08)
        assert (counts == counts[::-1]).all() and counts.min() >= 1


def test_rows_that_are_like_earlier_ones_cost_little():
    generator = np.random.default_rng(3)
    integers = np.rint(9 * generator.standard_normal((300, 64))).clip(-127, 127).astype(np.int8)
    alone = len(AnsCoder().pack("int8", [integers])[1])
    integers[200:] = integers[:100]
    integers[200:, 7] += 1
    found = find_references(integers)
    assert (found[200:] == np.arange(1, 101)).all() and not found[:200].any()
    assert len(AnsCoder().pack("int8", [integers])[1]) < 0.7 * alone
    assert (sums(differences(integers, found, 127), found, 127) == integers).all()


def test_chains_of_references_and_differences_beyond_the_limit_come_back():
    integers = np.array([[31, -31], [-31, 31], [31, 0], [5, -31]], np.int8)
    references = np.array([0, 1, 2, 3])
    coded = differences(integers, references, 31)
    assert np.abs(coded.astype(int)).max() <= 31
    assert (sums(coded, references, 31) == integers).all()


@pytest.mark.parametrize("references", [[1, 0], [0, 2], [0, 3]])
def test_a_reference_to_no_earlier_row_is_refused(references):
    with pytest.raises(PackedError, match="before it"):
        sums(np.zeros((2, 3), np.int8), np.array(references), 31)


@pytest.mark.parametrize("kind", ["scale", "float16", "float32"])
def test_floats_of_few_values_cost_their_entropy(kind):
    """Scales on a grid of half octaves; bytes would take 4 bits more."""
    dtype = np.float32 if kind == "float32" else np.float16
    grid = (0.01 * np.exp2(np.arange(9) / 2)).astype(dtype)
    values = grid[np.random.default_rng(0).binomial(8, 0.5, 4000)]
    counts = np.unique(values, return_counts=True)[1]
    entropy = (counts * np.log2(len(values) / counts)).sum() / 8
    assert len(AnsCoder().pack(kind, [values])[1]) < entropy + 80


def test_a_palette_that_does_not_rise_is_refused():
    encoder = Encoder()
    for symbols, model in (([2], 65), ([0, 0], 256), ([7, 7], 256), ([0, 1], 2)):
        encoder.put(np.array(symbols), even(model))
    with pytest.raises(PackedError, match="rise"):
        AnsCoder().unpack("scale", encoder.finish(), 4, [(2,)])


def test_learning_costs_a_few_bytes():
    generator = np.random.default_rng(0)
    symbols = np.rint(3 * generator.standard_normal(100_000)).astype(int).clip(-31, 31) + 31
    encoder = Encoder()
    encoder.put(symbols, even(63))
    counts = np.bincount(symbols)
    entropy = (counts[counts > 0] * np.log2(len(symbols) / counts[counts > 0])).sum()
    assert len(encoder.finish()) < entropy / 8 + 60


def test_frequencies_are_whole_numbers_that_need_no_rounding():
    model = even(63)
    for symbols in (np.zeros(0, int), np.full(10**6, 62), np.arange(63)):
        model.add(symbols)
        frequencies = model.frequencies()
        assert frequencies.dtype == np.int64 and frequencies.min() >= 0
        assert frequencies.sum() == 2**24 - 63


def test_a_model_can_learn_more_than_its_counts_can_hold():
    model = even(3)
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
        ("float32", [np.repeat(np.float32([1.5, -0.0, 0.0, -3e38]), 6).reshape(4, 3, 2)]),
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
    alike = np.concatenate([integers, integers[:20]])
    few, many = (
        (integers / 8).astype(np.float16),
        (integers * np.arange(60) / 7).astype(np.float16),
    )
    assert find_references(alike).any()
    parts = ("int6", integers), ("int8", alike), ("float16", few), ("float16", many)
    codes = [AnsCoder().pack(kind, [tensor])[1] for kind, tensor in parts]
    assert [hashlib.sha256(code).hexdigest()[:16] for code in codes] == [
        "30dd3e6117f5d6e8",
        "38288e55043ffc0c",
        "f2113ecf7cda563b",
        "33ac193123966e88",
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
    encoder.put(np.arange(9), even(9))
    decoder = Decoder(encoder.finish())
    decoder.take(4, even(9))
    with pytest.raises(PackedError, match="more words"):
        decoder.finish()
