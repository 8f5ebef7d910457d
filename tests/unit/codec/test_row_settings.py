"""A row's settings from a file that anybody may hand over: right, or one line."""

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


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        (
            "windows",
            {"length": CONTEXT, "stride": CONTEXT + 1},
            r"stride: 25; expected 1",
        ),
        ("cache_settings", {"max_order": 65}, r"cache\.max_order: 65; expected a whole number"),
        ("gate", {"alpha_span": 1.0}, r"alpha from 0\.05 to 1\.05; expected within"),
        ("gate", {"kind": "empirical_bayes"}, r"expected kind exact, output orders"),
    ],
)
def test_settings_that_do_not_fit_each_other(section, change, message):
    row = ROWS["segment"]
    with pytest.raises(StageError, match=f"^row settings: .*{message}"):
        require_row(row | {section: row[section] | change})


@pytest.mark.parametrize("length", [CONTEXT + 1, 10**12])
def test_windows_beyond_the_models_context(length):
    with pytest.raises(StageError, match=rf"windows\.length: {length}; the model takes {CONTEXT}"):
        codec_of(ROWS["neural"] | {"windows": {"length": length, "stride": 1}})._predictor(100)


@pytest.mark.parametrize("output", [".", "no/such/folder/x", "file/x"])
def test_output_onto_a_folder_or_into_nothing_is_refused_first(tmp_path, monkeypatch, output):
    (tmp_path / "file").write_text("text")
    monkeypatch.chdir(tmp_path)
    words = ["codec.py", "compress", "--artifact", "a", "--tokenizer", "t", "--row-spec", "r"]
    monkeypatch.setattr(sys, "argv", [*words, "file", output])
    with pytest.raises(StageError, match=f"^{re.escape(output)}: expected a file's name in"):
        codec.main()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
