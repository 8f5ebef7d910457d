"""The sums file: what a score is made of."""

import math

import pytest

from fairway.rows.sums import RankSum, Sums
from fairway.stage import StageError, read_json, write_json


def two_ranks() -> Sums:
    parts = (
        RankSum("row", 7, 0, 1, 3, 2.0 * math.log(2), 5, 0.1),
        RankSum("row", 7, 1, 4, 2, 7.0 * math.log(2), 4, 0.1),
    )
    return Sums("spec", "scores", None, "artifact", 0.2, parts)


def test_bits_per_byte_divides_once_over_all_ranks():
    assert two_ranks().bits_per_byte == pytest.approx(9 / 9)
    assert (two_ranks().targets, two_ranks().bytes) == (5, 9)


def test_saved_sums_are_read_back_equal(tmp_path):
    two_ranks().save(tmp_path / "sums.json")
    assert Sums.load(tmp_path / "sums.json") == two_ranks()


@pytest.mark.parametrize("place", ["top", "rank"])
def test_a_missing_key_is_named(tmp_path, place):
    file = tmp_path / "sums.json"
    two_ranks().save(file)
    value = read_json(file)
    del (value if place == "top" else value["sums"][1])[
        "artifact_sha256" if place == "top" else "bytes"
    ]
    write_json(file, value)
    with pytest.raises(StageError, match="artifact_sha256" if place == "top" else "bytes"):
        Sums.load(file)


def test_no_ranks_is_refused(tmp_path):
    file = tmp_path / "sums.json"
    Sums("spec", "scores", None, "artifact", 0.2, ()).save(file)
    with pytest.raises(StageError, match=r"sums\.json: sums: .*; expected a length of at least 1"):
        Sums.load(file)
