"""Whatever the tensors, unpacking gives back every bit."""

from unittest.mock import patch

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.artifact.coders.references import differences, sums
from fairway.artifact.container import decode, encode
from fairway.artifact.storage import RowIntegers, StoredModel

LIMITS = {"int6": 31, "int8": 127}
BITS = {"float16": np.uint16, "float32": np.uint32}
SIZES = st.integers(0, 9)


@st.composite
def models(draw) -> StoredModel:
    """Tensors of random kinds and shapes, empty and 0-d ones among them, of arbitrary bits."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds, tensors = {}, {}
    for index in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from([*LIMITS, *BITS]))
        name = f"{index}.{draw(st.text(max_size=5))}"
        kinds[name] = kind
        if kind in LIMITS:
            shape = draw(st.tuples(SIZES, SIZES))
            limit = LIMITS[kind]
            integers = generator.integers(-limit, limit + 1, shape, dtype=np.int8)
            scale = arbitrary(generator, shape[:1], "float16").abs()
            columns = arbitrary(generator, shape[1:], "float16").abs()
            columns = columns if draw(st.booleans()) else None
            tensors[name] = RowIntegers(torch.from_numpy(integers), scale, columns)
        else:
            shape = draw(st.lists(SIZES, max_size=4).map(tuple))
            tensors[name] = arbitrary(generator, shape, kind)
    return StoredModel({"width": 3}, "abc", kinds, tensors)


def arbitrary(generator: np.random.Generator, shape: tuple, kind: str) -> torch.Tensor:
    """Any finite bits at all, denormals and -0 too; half the time three values at most."""
    values = generator.integers(0, np.iinfo(BITS[kind]).max, shape, BITS[kind], endpoint=True)
    values = np.asarray(values, BITS[kind]).view(kind)
    if generator.integers(2):
        values = np.resize(values.reshape(-1)[:3], shape)
    return torch.from_numpy(np.where(np.isfinite(values), values, values.dtype.type(-0.0)))


@st.composite
def references(draw) -> tuple[np.ndarray, np.ndarray, int]:
    """Integers within a limit, and for each row none or an earlier one that it refers to."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    limit, rows = draw(st.sampled_from([31, 127])), draw(st.integers(0, 40))
    integers = generator.integers(-limit, limit + 1, (rows, draw(SIZES)), dtype=np.int8)
    return integers, generator.integers(0, np.arange(rows) + 1), limit


@given(references())
def test_rows_that_refer_to_others_come_back(drawn):
    integers, of_rows, limit = drawn
    coded = differences(integers, of_rows, limit)
    assert np.abs(coded.astype(int)).max(initial=0) <= limit
    assert np.array_equal(sums(coded, of_rows, limit), integers)


def parts(tensor: RowIntegers | torch.Tensor) -> list[np.ndarray]:
    both = [tensor.integers, *tensor.scales()] if isinstance(tensor, RowIntegers) else [tensor]
    return [part.numpy() for part in both]


@settings(max_examples=60, deadline=None)
@given(models(), st.sampled_from(["lzma", "zstd", "brotli", "ans"]))
def test_unpacking_gives_back_every_bit(stored, name):
    content = encode(stored, name)
    with patch("fairway.artifact.sections.require_kinds"):  # no model has these tensors
        found = decode(content, "x")
    assert found.config == stored.config and found.tokenizer_sha256 == stored.tokenizer_sha256
    assert found.kinds == stored.kinds and list(found.tensors) == list(stored.tensors)
    for key, tensor in stored.tensors.items():
        for before, after in zip(parts(tensor), parts(found.tensors[key]), strict=True):
            assert before.shape == after.shape and before.dtype == after.dtype
            assert before.tobytes() == after.tobytes()
    assert encode(found, name) == content
