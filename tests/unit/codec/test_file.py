"""The codec: the row's own distributions, exact round trips, one clear error for all else."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from fairway.codec import file as codec_module
from fairway.codec.coder import decode_tokens, encode_tokens
from fairway.codec.file import FREE_TARGETS, MAGIC, TARGETS_PER_BIT, read_header
from fairway.codec.prediction import RowPredictor
from fairway.codec.proof import OVERHEAD_BITS, claimed_bits, overhead_fraction
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets
from fairway.counting.counts import MatchCounts
from fairway.counting.segments import NO_MEMORY
from fairway.rows.gate import row_gate
from fairway.rows.mixing import RankShard, row_mixer
from fairway.scoring.forward import distributions_at, score_windows
from fairway.scoring.scores import Scores
from fairway.stage import StageError
from support.corpus_samples import VOCABULARY
from support.tiny_rows import (
    EXACT,
    ROWS,
    WINDOWS,
    codec_model,
    codec_of,
    repetitive_tokens,
    row,
)

TOKENS = repetitive_tokens(151)
PLAN = WindowPlan(len(TOKENS) - 1, **WINDOWS)


def predicted(settings: dict, tokens: np.ndarray) -> np.ndarray:
    """Distributions of all targets, (targets, vocabulary)."""
    code = codec_of(settings)
    parts = code.base, code.gate, code.gate.start()
    predictor = RowPredictor(*parts, settings, len(tokens) - 1, code.memory)
    found = []
    for token in tokens[:-1].tolist():
        predictor.push(token)
        found.append(predictor.distribution())
    return np.array(found)


def claimed(settings: dict, tokens: np.ndarray, targets: int) -> float:
    """Bits that mixing claims for the first targets, from scores and counts of the whole text."""
    nll, entropy = score_windows(codec_model(), tokens, PLAN, range(len(PLAN)), 4)
    scores = Scores(1, nll, entropy, "artifact", "spec")
    if settings["model"] is None:
        scores = Scores.uniform(1, PLAN.targets, VOCABULARY)
    memory = codec_of(settings).memory
    seen = memory.tokens if memory else NO_MEMORY
    counts = None
    if settings["cache_settings"]:
        cache = CacheSettings.from_settings(settings["cache_settings"])
        counts = count_targets(tokens, PLAN, 1, PLAN.targets, cache, memory=seen)
        assert not isinstance(counts, MatchCounts) or (counts.order > 0).mean() > 0.3
    shard = RankShard("rank0", scores, counts)
    mixer = row_mixer(row_gate(settings["gate"], settings["cache_settings"], seen), tokens)
    return claimed_bits(mixer, [shard], targets)


def test_neural_steps_are_the_windows_of_scoring():
    expected = distributions_at(codec_model(), TOKENS, PLAN, range(1, len(TOKENS)), 8)
    found = predicted(ROWS["neural"], TOKENS)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-9)


@pytest.mark.parametrize("name", ROWS)
def test_predictions_are_distributions_and_sum_to_the_claimed_bits(name):
    found = predicted(ROWS[name], TOKENS)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    bits = -np.log2(found[np.arange(PLAN.targets), TOKENS[1:]]).sum()
    assert bits == pytest.approx(claimed(ROWS[name], TOKENS, PLAN.targets), rel=1e-5)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("targets", [150, 30, 1])
def test_round_trip_within_the_claimed_bits(name, targets):
    tokens = TOKENS[: targets + 1]
    content = codec_of(ROWS[name]).compress(tokens)
    decoded = codec_of(ROWS[name]).decompress(content, "file")
    np.testing.assert_array_equal(decoded, tokens)
    overhead_fraction(8 * len(content), claimed(ROWS[name], TOKENS, targets), name)


def test_empty_text():
    codec = codec_of(ROWS["token"])
    content = codec.compress(codec.text.encode(b""))
    assert codec.text.decode(codec.decompress(content, "file")) == b""
    assert len(content) < OVERHEAD_BITS // 8


def test_text_without_bos_cannot_be_coded():
    with pytest.raises(StageError, match="expected BOS"):
        codec_of(ROWS["neural"]).compress(TOKENS[1:])


class FixedPredictor:
    """The same distribution at every target."""

    def __init__(self, probabilities: list[float]) -> None:
        self.probabilities = np.array(probabilities)

    def distribution(self) -> np.ndarray:
        return self.probabilities

    def push(self, token: int) -> None:
        pass


@pytest.mark.parametrize("p", [[0.5, 0.5, 0.0, 0.0], [1.0, 1e-300, 0.0, 0.0], [0, 0, 1e-9, 0]])
def test_tokens_of_probability_zero_can_be_coded(p):
    tokens = np.array([1, 0, 1, 2, 3, 3, 2, 1, 0], np.uint16)
    code = encode_tokens(FixedPredictor(p), tokens)
    found = decode_tokens(FixedPredictor(p), code, 1, len(tokens) - 1)
    np.testing.assert_array_equal(found, tokens)


CONTENT = codec_of(ROWS["segment"]).compress(TOKENS[:40])


def with_header(**changes: object) -> bytes:
    """CONTENT with another header and the right checksum."""
    header, code = read_header(CONTENT, "file")
    rest = replace(header, **changes).pack() + code
    return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file: begins with nothing; expected 46575458"),
        (b"PK\3\4" + CONTENT[4:], "file: begins with 504b0304"),
        (CONTENT[:3], "file: begins with 465754"),
        (CONTENT[:7], "file: 7 bytes with a wrong checksum; damaged or cut"),
        (CONTENT[:-1], "wrong checksum; damaged or cut"),
        (CONTENT + b"\0", "wrong checksum; damaged or cut"),
        (with_header(format=9), "file: format 9; expected 2"),
        (with_header(artifact=b"01234567"), "made with artifact 3031323334353637; found abababab"),
        (with_header(memory=b"01234567"), "made with memory 3031323334353637; found 00000000"),
        (with_header(row=b"01234567"), "made with row settings 3031323334353637; found "),
        (with_header(versions=bytes([2, 6, 1] * 4)), r"made with torch 2\.6\.1; found \d+\.\d+"),
        (with_header(probe=255), "checksum 000000ff; found .*another processor or other code"),
        (
            with_header(text=255),
            "file: does not decode to its text; expected the encoder's floats",
        ),
    ],
)
def test_what_cannot_be_decoded_is_one_clear_error(content, message):
    with pytest.raises(StageError, match=message):
        codec_of(ROWS["segment"]).decompress(content, "file")


def with_code(code: bytes) -> bytes:
    """CONTENT with other words behind its header and the right checksum."""
    header, _ = read_header(CONTENT, "file")
    rest = header.pack() + code
    return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest


CODE = read_header(CONTENT, "file")[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *((with_code(CODE + bytes(n)), "bytes of code; expected words of 4") for n in (1, 2, 3)),
        *((with_code(CODE + word), "its words are not those") for word in (bytes(4), b"abcd")),
        (with_code(CODE[:-4]), r"does not decode to its text; .* \("),
        (with_code(b""), "it ends at target [1-9] of 39"),
        (with_header(targets=4096), "it ends at target [4-9][0-9] of 4096"),
        (with_header(targets=38), "its words are not those that its text has"),
    ],
)
def test_only_the_code_of_a_text_is_decoded_and_no_further_than_it_goes(content, message):
    with pytest.raises(StageError, match=rf"^file: .*{message}"):
        codec_of(ROWS["segment"]).decompress(content, "file")


def test_a_text_long_for_its_code_is_decoded_only_if_asked_for():
    most = FREE_TARGETS + TARGETS_PER_BIT * 8 * len(CODE)
    codec = codec_of(ROWS["segment"])
    for targets, any_length, message in (
        (
            2**32 - 1,
            False,
            f"4,294,967,295 targets in {len(CODE)} bytes of code; expected at most",
        ),
        (most + 1, False, f"expected at most {most:,}, unless asked for with --any-length"),
        (most, False, "it ends at target"),
        (2**32 - 1, True, "it ends at target"),
    ):
        with pytest.raises(StageError, match=message):
            codec.decompress(with_header(targets=targets), "file", any_length=any_length)


def test_every_flipped_byte_is_found():
    for position in range(len(CONTENT)):
        damaged = bytearray(CONTENT)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(StageError, match=r"begins with|wrong checksum"):
            read_header(bytes(damaged), "file")


def test_another_row_is_named_before_anything_is_decoded():
    with pytest.raises(StageError, match="made with row settings"):
        codec_of(ROWS["token"]).decompress(CONTENT, "file")


def test_other_floats_are_found_by_the_probe():
    with pytest.raises(StageError, match="another processor or other code"):
        codec_of(ROWS["segment"], seed=1).decompress(CONTENT, "file")


def test_floats_that_differ_later_are_an_error_too(monkeypatch):
    codec = codec_of(ROWS["segment"])

    class Drifting(RowPredictor):
        def distribution(self) -> np.ndarray:
            return np.roll(super().distribution(), len(self.base.window) > 20)

    monkeypatch.setattr(codec_module, "RowPredictor", Drifting)
    with pytest.raises(StageError, match="file: does not decode to its text"):
        codec.decompress(CONTENT, "file")


def test_hashed_rows_are_refused_with_the_reason():
    hashed = EXACT | {"kind": "hashed", "buckets": 64}
    with pytest.raises(StageError, match=r"row h15: its counts are hashed.*do not sum to 1"):
        codec_of(row("h15", ROWS["segment"]["gate"], hashed))


def test_overhead_has_a_limit():
    limit = 10_010 + OVERHEAD_BITS
    assert overhead_fraction(limit - 2, 10_000.0, "r") == pytest.approx(0.052)
    with pytest.raises(StageError, match=r"row r: a file of 10523 bits for 10000\.0 claimed"):
        overhead_fraction(limit + 1, 10_000.0, "r")
