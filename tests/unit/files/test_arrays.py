"""Arrays in .npz and .npy files: atomic, checked."""

from pathlib import Path

import numpy as np
import pytest

from fairway.files.arrays import load_array, load_arrays, save_array, save_arrays
from fairway.stage import StageError


def test_named_arrays_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    nll = np.arange(5, dtype=np.float32)
    save_arrays(path, nll=nll, first_target=7, spec="abc")
    found = load_arrays(path, "nll", "first_target", "spec")
    assert found["nll"].dtype == np.float32
    assert np.array_equal(found["nll"], nll)
    assert int(found["first_target"]) == 7
    assert str(found["spec"]) == "abc"
    assert list(tmp_path.iterdir()) == [path]


def test_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_arrays(tmp_path / name, x=np.arange(3), y="text")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_absent_array_is_named(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x.npz", nll=1)
    with pytest.raises(StageError, match=r"x\.npz: has no array `entropy`; found \['nll'\]"):
        load_arrays(tmp_path / "x.npz", "nll", "entropy")


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "npy"])
def test_damaged_arrays_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.npz"
    save_arrays(path, x=np.arange(1000))
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    save_array(tmp_path / "y.npy", np.arange(3))
    damaged = {"empty": b"", "cut": content[:-500], "flipped": content, "text": b"nothing"}
    path.write_bytes(damaged.get(damage, (tmp_path / "y.npy").read_bytes()))
    with pytest.raises(StageError, match=r"x\.npz: damaged"):
        load_arrays(path, "x")


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.array([{}], dtype=object))
    with pytest.raises(StageError, match=r"x\.npz: damaged"):
        load_arrays(tmp_path / "x.npz", "x")


def test_single_array_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    save_array(path, np.arange(5, dtype=np.uint16))
    assert np.array_equal(np.load(path), np.arange(5))
    assert load_array(path).dtype == np.uint16


@pytest.mark.parametrize("kept", [0, 20, -1])
def test_damaged_single_array_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "x.npy"
    save_array(path, np.arange(500))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StageError, match=r"x\.npy: damaged"):
        load_array(path)


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    for read in (load_array, load_arrays):
        with pytest.raises(StageError, match="nothing: no such file"):
            read(tmp_path / "nothing")
