"""metrics.jsonl: every line is of a kind, checked, and the file is whole."""

import json
from pathlib import Path

import pytest

from fairway.json_text import sealed
from fairway.stage import StageError
from fairway.tables.metrics import Compared, Done, Step, read_metrics

STEP = {"step": 5, "loss": 6.5, "lr_scale": 0.5, "tokens_per_second": 9, "seconds": 1.25}
COMPARED = {"event": "compared", "step": 5, "raw_loss": 6.25, "averaged_loss": 6.0}
COMPARED |= {"tokens": 64, "unseen": True, "comparing_seconds": 0.5}
DONE = {"event": "done", "steps": 5, "seconds": 1.5, "parameters": 99}


def write(path: Path, *lines: dict) -> Path:
    path.write_text(sealed("\n".join(map(json.dumps, lines))))
    return path


def test_lines_by_kind(tmp_path: Path) -> None:
    found = read_metrics(write(tmp_path / "m", {**STEP, "gradient_norm": 1.0}, COMPARED, DONE))
    assert found.steps == [Step(5, 6.5, 0.5, 9, 1.25)]
    assert found.compared == [Compared("compared", 5, 6.25, 6.0, 64, True, 0.5)]
    assert found.done == Done("done", 5, 1.5, 99)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([STEP, COMPARED], "has no closing `done` line; the training did not finish"),
        ([{**STEP, "loss": -1.0}, DONE], "1.loss: -1.0; expected at least 0"),
        ([{**STEP, "lr_scale": 1.5}, DONE], "1.lr_scale: 1.5; expected 0 to 1"),
        ([STEP, {**COMPARED, "unseen": 1}, DONE], "2.unseen: 1; expected true or false"),
        ([STEP, {**COMPARED, "raw_loss": "6"}, DONE], "2.raw_loss: '6'; expected a finite"),
        ([STEP, {"event": "other"}, DONE], "2: no `step`; expected step, loss, lr_scale"),
    ],
)
def test_what_is_refused(tmp_path: Path, lines: list[dict], message: str) -> None:
    with pytest.raises(StageError) as error:
        read_metrics(write(tmp_path / "m", *lines))
    assert str(error.value).startswith(str(tmp_path / "m")) and message in str(error.value)


def test_a_changed_line_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "m", STEP, DONE)
    path.write_text(path.read_text().replace("6.5", "6.4"))
    with pytest.raises(StageError, match="damaged, its content has another"):
        read_metrics(path)
    path.write_bytes(b"")
    with pytest.raises(StageError, match="has no closing"):
        read_metrics(path)
