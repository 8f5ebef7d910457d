"""bench/finished.py: of several specs of a row, the one that its proof was made under."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from fairway.stage import StageError, write_json
from support.tiny_rows import ROWS

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))
from finished import proven_row


def write_spec(folder: Path, stride: int) -> str:
    """A spec of the row's proof; its hash."""
    settings = ROWS["neural"] | {"row": "r", "windows": {"length": 16, "stride": stride}}
    text = json.dumps({"code": "c", "settings": settings})
    folder.mkdir(parents=True, exist_ok=True)
    found = hashlib.sha256(text.encode()).hexdigest()
    (folder / f"r.{found[:16]}.json").write_text(text)
    return found


def test_an_earlier_spec_is_not_the_row_s(tmp_path):
    hashes = {write_spec(tmp_path / "specs" / "prove_row", stride): stride for stride in (4, 8, 2)}
    for found, stride in hashes.items():
        write_json(tmp_path / "rows" / "r" / "proof.json", {"spec": found, "seed": stride})
        settings, seed = proven_row(tmp_path, "r")
        assert (settings["windows"]["stride"], seed) == (stride, stride)
    write_json(tmp_path / "rows" / "r" / "proof.json", {"spec": "0" * 64, "seed": 1})
    with pytest.raises(StageError, match="made under spec 000000000000…, which is not there"):
        proven_row(tmp_path, "r")
    with pytest.raises(StageError, match="expected a finished run with a proof of the row"):
        proven_row(tmp_path, "other")
