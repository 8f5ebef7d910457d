"""Hostile artifacts of the contest's size: one line, soon, in little memory, by all coders.

The largest that a reader lets in are to take at most 1 GB and 5 s of a processor. These unpack to
half of that and take a sixth and half of it, so that a slower machine passes.
"""

from functools import cache

import numpy as np
import pytest

from fairway.artifact.coders.named import coder
from fairway.artifact.container import decode, require_room
from support.large_artifacts import NOISE, ROWS, WIDE, artifact, code, index_of, measured, packed

GENERAL = ("lzma", "zstd", "brotli")
COUNT = ROWS * WIDE


def large(kind: str, **config: int) -> dict:
    """The index of a model with one large table, of this kind."""
    sizes = {"bigram_rows": ROWS, "bigram_width": WIDE, "width": 4, "heads": 1} | config
    return index_of(kind, "int6" if kind == "int8" else "int8", **sizes)


def assert_soon(content: bytes, message: str) -> None:
    assert len(content) < 18_000_000
    found, seconds, grown = measured(lambda: decode(content, "a.bin"))
    assert found.startswith(message) and len(found) < 1000 and "\n" not in found
    assert seconds < 5 and grown < 1 << 29, (seconds, grown)


def numbers(values: np.ndarray) -> list:
    """References to rows, as `ans` has them: the high bytes first."""
    return [("reference", 1, values >> 8), ("reference", 0, values & 255)]


def test_integers_in_all_contexts_and_rows_that_refer_to_the_one_before():
    drawn = np.random.default_rng(1).integers(1, 192, ROWS + WIDE)
    lines = [("row", 0, drawn[:ROWS]), ("column", 0, drawn[ROWS:])]
    chain = [("refers", 0, [1]), *numbers(np.arange(ROWS))]
    section = code("int8", *chain, *lines, then=NOISE)
    content = artifact("ans", large("int8"), int8=section)
    assert_soon(content, "a.bin: section int8: more words than its symbols take")


def test_very_many_matrices_of_many_contexts():
    sizes = {"width": 48, "mlp_width": 48, "unique_blocks": 128, "shared_blocks": 0, "loops": 0}
    index = index_of("int6", "int8", heads=1, **sizes)
    section = code("int8", ("refers", 0, [0]), then=NOISE[:4_000_000])
    assert_soon(artifact("ans", index, int8=section), "a.bin: section int8: more words than its")


def test_floats():
    section = code("float16", ("palette", 0, [0]), then=NOISE)
    index = large("float16", bigram_rows=ROWS // 3)
    assert_soon(artifact("ans", index, float16=section), "a.bin: section float16: ")


@cache
def integers(name: str) -> bytes:
    """As many int8 as may be, of 1.9 bits of entropy: a stream of the contest's size."""
    drawn = np.random.default_rng(2).standard_normal(COUNT // 15) * 0.55
    return packed(name, np.rint(drawn).astype(np.int8).tobytes(), 15)


@pytest.mark.parametrize("name", GENERAL)
def test_what_a_reader_lets_in(name: str):
    assert_soon(artifact(name, large("int8"), int8=integers(name)), "accepted")


@pytest.mark.parametrize("name", [*GENERAL, "ans"])
def test_a_scale_that_is_none_behind_all_integers(name: str):
    """Scales are looked at first."""
    index = large("int8")
    rows = [shape[0] for _, kind, shape in index["tensors"] if kind.startswith("int")]
    scales = [np.ones(count, np.float16) for count in rows]
    scales[-1][-1] = np.nan
    section = NOISE if name == "ans" else integers(name)
    content = artifact(name, index, int8=section, scale=coder(name).pack("scale", scales)[1])
    assert_soon(content, "a.bin: section scale: values from ")


@pytest.mark.parametrize("name", GENERAL)
def test_bombs(name: str):
    """256 MiB, where the tensors take the 20 MiB that any file may unpack to."""
    bomb = packed(name, bytes(1 << 20), 256)
    content = artifact(name, large("int8", bigram_rows=300), int8=bomb)
    assert_soon(content, f"a.bin: section int8: is not one {name} stream of ")


def test_int6_that_are_all_large():
    """A byte each: their class and four further bits."""
    index, half = large("int6"), COUNT // 2
    raw = b"\xee" * half + NOISE[:14_000_000] + bytes(half - 14_000_000)
    content = artifact("zstd", index, int6=(len(raw), packed("zstd", raw)))
    assert_soon(content, "accepted")


def test_tensors_that_take_more_than_a_file_may_unpack_to():
    content = artifact("ans", large("int8", bigram_rows=1600), int8=NOISE)
    assert_soon(content, "a.bin: 15000")


def test_no_trained_model_is_kept_out():
    """All weights that 15.9 MB hold at 1.5 bits each, less than which nobody would spend."""
    require_room(84_000_000, 15_900_000, "a.bin")
