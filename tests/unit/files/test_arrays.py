"""Arrays in .npz and .npy files: atomic, checked."""

import gc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fairway.files.arrays import (
    FIRST_TARGET,
    TEXT,
    Layout,
    load_array,
    load_arrays,
    save_array,
    save_arrays,
)
from fairway.stage import StageError
from support.full_disk import files_up_to

FIVE = Layout("float32", (5,))


def test_named_arrays_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    nll = np.arange(5, dtype=np.float32)
    save_arrays(path, 1, nll=nll, first_target=7, spec="abc")
    found = load_arrays(path, 1, nll=FIVE, first_target=FIRST_TARGET, spec=TEXT)
    assert found["nll"].dtype == np.float32
    assert np.array_equal(found["nll"], nll)
    assert (found["first_target"], found["spec"]) == (7, "abc")
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_no_view_of_a_buffer(tmp_path: Path) -> None:
    """Python 3.12.1's collector crashes on one that is left in a traceback."""
    with files_up_to(100), pytest.raises(StageError, match="cannot write") as caught:
        save_array(tmp_path / "x.npy", np.zeros(1000))
    views = [one for one in gc.get_objects() if isinstance(one, memoryview)]
    assert not [one for one in views if type(one.obj).__name__ == "_BytesIOBuffer"], caught


def test_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_arrays(tmp_path / name, 1, x=np.arange(3), y="text")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_absent_array_is_named(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x.npz", 1, nll=1)
    with pytest.raises(
        StageError, match=r"x\.npz: has no array `entropy`; found \['version', 'nll'\]"
    ):
        load_arrays(tmp_path / "x.npz", 1, nll=Layout("int64"), entropy=FIVE)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (2, "version 2 of its format; expected 1"),
        (np.int32(1), r"version is int32 \(\); expected int64"),
        ("1", "version is <U1"),
    ],
)
def test_another_version_is_named(tmp_path: Path, version, message: str) -> None:
    save_arrays(tmp_path / "x.npz", version, nll=1)
    with pytest.raises(StageError, match=rf"x\.npz: {message}"):
        load_arrays(tmp_path / "x.npz", 1, nll=Layout("int64"))


def test_an_array_without_a_version_is_of_no_format(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", nll=1)
    with pytest.raises(StageError, match=r"x\.npz: has no array `version`; found \['nll'\]"):
        load_arrays(tmp_path / "x.npz", 1, nll=Layout("int64"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice_is_named(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x.npz", 1, nll=1)
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as file:
        file.writestr("nll.npy", file.read("nll.npy"))
    with pytest.raises(StageError, match=r"x\.npz: damaged .npz \(nll.npy is there twice\)"):
        load_arrays(tmp_path / "x.npz", 1, nll=Layout("int64"))


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "npy"])
def test_damaged_arrays_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.npz"
    save_arrays(path, 1, x=np.arange(1000))
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    save_array(tmp_path / "y.npy", np.arange(3))
    damaged = {"empty": b"", "cut": content[:-500], "flipped": content, "text": b"nothing"}
    path.write_bytes(damaged.get(damage, (tmp_path / "y.npy").read_bytes()))
    with pytest.raises(StageError, match=r"x\.npz: damaged"):
        load_arrays(path, 1, x=Layout("int64", ("n",)))


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", version=1, x=np.array([{}], dtype=object))
    with pytest.raises(StageError, match=r"x\.npz: damaged"):
        load_arrays(tmp_path / "x.npz", 1, x=Layout("object", (1,)))


def test_single_array_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    save_array(path, np.arange(5, dtype=np.uint16))
    assert np.array_equal(np.load(path), np.arange(5))
    assert np.array_equal(load_array(path, Layout("uint16", (5,))), np.arange(5))


@pytest.mark.parametrize("kept", [0, 20, -1])
def test_damaged_single_array_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "x.npy"
    save_array(path, np.arange(500))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StageError, match=r"x\.npy: damaged"):
        load_array(path, Layout("int64", ("n",)))


def test_a_header_as_python_2_wrote_it_is_one_line(tmp_path: Path, recwarn) -> None:
    """A long integer: numpy reads it with a warning of two lines."""
    path = tmp_path / "x.npy"
    save_array(path, np.arange(3, dtype=np.uint16))
    path.write_bytes(path.read_bytes().replace(b"(3,), ", b"(3L,),"))
    with pytest.raises(StageError, match=r"x\.npy: .*its header is not as numpy writes it"):
        load_array(path, Layout("uint16", (3,)))
    assert not list(recwarn)


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    for read in (lambda path: load_array(path, FIVE), lambda path: load_arrays(path, 1, x=FIVE)):
        with pytest.raises(StageError, match="nothing: no such file"):
            read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("value", "layout", "message"),
    [
        (np.arange(3), Layout("int32", ("n",)), r"x is int64 \(3,\); expected int32 \(n\)"),
        (np.arange(3), Layout("int64"), r"x is int64 \(3,\); expected int64 \(\)"),
        (np.arange(3), Layout("int64", (4,)), r"expected int64 \(4\), 4 being 4"),
        (np.arange(3), Layout("int64", ("m",)), r"expected int64 \(m\), m being 2"),
        (
            np.arange(3),
            Layout("int64", (3,), low=1),
            "from 0 to 2; expected 1 to inf",
        ),
        (np.arange(3), Layout("int64", (3,), high=1), "from 0 to 2; expected -inf to 1"),
        (np.array([0, np.nan]), Layout("float64", (2,)), "from nan to nan; .* all finite"),
        (np.array([0, np.inf]), Layout("float64", (2,)), "from 0.0 to inf; .* all finite"),
        (np.array([0, 2], np.uint8).view(bool), Layout("bool", (2,)), "from 0 to 2; expected"),
        (np.arange(3), TEXT, r"x is int64 \(3,\); expected a short text"),
        (np.array("x" * 2000), TEXT, r"expected a short text"),
        (np.arange(3, dtype=">i8"), Layout("int64", (3,)), r"x is >i8 \(3,\)"),
        (np.zeros((2, 3), order="F"), Layout("float64", (2, 3)), "damaged .npz .*Fortran"),
        (np.zeros(2, "i4,i4"), Layout("int32", (2,)), "damaged .npz"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, value, layout: Layout, message: str) -> None:
    save_arrays(tmp_path / "x.npz", 1, m=np.zeros(2), x=value)
    with pytest.raises(StageError, match=rf"x\.npz: .*{message}"):
        load_arrays(tmp_path / "x.npz", 1, m=Layout("float64", ("m",)), x=layout)


@pytest.mark.parametrize("point", [0x6D00_0000, 0x11_0000, 0xFFFF_FFFF, 0xD800])
@pytest.mark.parametrize("before", ["", "text"])
@pytest.mark.parametrize("order", "<>")
def test_a_text_of_what_are_no_characters_is_refused(tmp_path, point, before, order) -> None:
    """Numpy makes a broken string of some of these, and a SystemError of others."""
    values = np.array([*map(ord, before), point], f"{order}u4")
    text = values.view(f"{order}U{len(values)}").reshape(())
    np.savez(tmp_path / "x.npz", version=1, x=text)
    with pytest.raises(StageError, match=r"x\.npz: x is no text"):
        load_arrays(tmp_path / "x.npz", 1, x=TEXT)


def test_headers_promise_no_more_than_there_is(tmp_path: Path) -> None:
    path, layout = tmp_path / "x.npy", Layout("float64", ("n",))
    save_array(path, np.zeros(10))
    content = path.read_bytes()
    for shape in (b"(9,), ", b"(11,),", b"(9**9,", b"(-1,),"):
        path.write_bytes(content.replace(b"(10,),", shape))
        with pytest.raises(StageError, match=r"x\.npy: damaged"):
            load_array(path, layout)
    path.write_bytes(content + b"\0")
    with pytest.raises(StageError, match=r"x\.npy: damaged .npy \(209 bytes for float64"):
        load_array(path, layout)


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", version=1, x=np.zeros(1 << 20))
    with pytest.raises(StageError, match=r"x\.npz: damaged .npz \(version.npy is compressed\)"):
        load_arrays(tmp_path / "x.npz", 1, x=Layout("float64", ("n",)))


def test_every_flipped_bit_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path, layouts = tmp_path / "x.npz", {"nll": FIVE, "spec": TEXT}
    save_arrays(path, 1, nll=np.arange(5, dtype=np.float32), spec="abc")
    content = path.read_bytes()
    noticed = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = load_arrays(path, 1, **layouts)
        except StageError as error:
            assert "x.npz: " in str(error)
            noticed += 1
            continue
        assert found["spec"] == "abc" and np.array_equal(found["nll"], np.arange(5))
    assert noticed > 0.7 * len(content)  # the rest are dates and the like
