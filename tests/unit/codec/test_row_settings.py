"""A row's settings from a file that anybody may hand over: right, or one line."""

import copy
import re
import sys

import pytest

import codec
from fairway.codec.prediction import require_row
from fairway.stage import StageError
from support.tiny_models import CONTEXT
from support.tiny_rows import ROWS, codec_of


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_every_kind_are_right(name):
    require_row(ROWS[name])


HOSTILE = [None, True, 0, -1, 2.5, 10**30, "x", [], [1], {}, {"kind": 3}]


@pytest.mark.parametrize("name", ["segment", "bayes"])
def test_hostile_settings_are_one_line(name):
    """Every value of a row's settings replaced, taken away, and every section as a whole."""
    row = ROWS[name]
    refused = 0
    for section in ("windows", "gate", "cache_settings"):
        for key in [None, *row[section]]:
            for value in [*HOSTILE, "absent"]:
                settings = copy.deepcopy(row)
                place, last = (settings, section) if key is None else (settings[section], key)
                place[last] = value
                if value == "absent":
                    del place[last]
                try:
                    require_row(settings)
                except StageError as error:
                    assert len(str(error).splitlines()) == 1
                    refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ({"length": 2.0, "stride": 1}, "expected whole numbers"),
        ({"length": CONTEXT, "stride": 0}, r"windows\.stride: 0; expected 1 to"),
        ([CONTEXT, 1], "TypeError"),
    ],
)
def test_windows_that_are_none(windows, message):
    with pytest.raises(StageError, match=message):
        require_row(ROWS["neural"] | {"windows": windows})


@pytest.mark.parametrize("length", [CONTEXT + 1, 10**12])
def test_windows_beyond_the_models_context(length):
    with pytest.raises(StageError, match=rf"windows\.length: {length}; the model takes {CONTEXT}"):
        codec_of(ROWS["neural"] | {"windows": {"length": length, "stride": 1}})._predictor(100)


@pytest.mark.parametrize("vocabulary", ["1024", None, 2.5])
def test_a_vocabulary_is_a_number(vocabulary):
    with pytest.raises(StageError, match=r"vocabulary: .*; expected a whole number"):
        require_row(ROWS["uniform"] | {"vocabulary": vocabulary})


@pytest.mark.parametrize("output", [".", "no/such/folder/x", "file/x"])
def test_output_onto_a_folder_or_into_nothing_is_refused_first(tmp_path, monkeypatch, output):
    (tmp_path / "file").write_text("text")
    monkeypatch.chdir(tmp_path)
    words = ["codec.py", "compress", "--artifact", "a", "--tokenizer", "t", "--row-spec", "r"]
    monkeypatch.setattr(sys, "argv", [*words, "file", output])
    with pytest.raises(StageError, match=f"^{re.escape(output)}: expected a file's name in"):
        codec.main()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
