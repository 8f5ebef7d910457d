"""Numpy arrays in .npz files (several, named) and .npy: atomic to write, checked on reading.

An array's header is believed only as far as the file holds what it promises: nothing is allocated
before, .npz members must be stored as they are (numpy's savez), and each is read to its end, where
its CRC-32 is compared. That covers the header too, which numpy's own reader does not see to.
"""

import io
import math
import tokenize
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fairway.stage import StageError, atomic_output, require_file

_PIECE = 1 << 22  # bytes read at a time
_LONGEST_TEXT = 4 * 1024  # bytes of a text, four a character
_VERSION = "version"  # the array that every .npz has, int64: of its format
DAMAGES = (
    *(ValueError, TypeError, SyntaxError, EOFError, NotImplementedError, RecursionError),
    *(zipfile.BadZipFile, zipfile.LargeZipFile, tokenize.TokenError, OSError, RuntimeError),
)


@dataclass(frozen=True)
class Layout:
    """What an array must be.

    dtype: its name, or "text" for a string; axes: a length each, or a name that stands for one
    length wherever it occurs; low, high: least and greatest value. Floats must be finite.
    """

    dtype: str
    axes: tuple[str | int, ...] = ()
    low: float = -math.inf
    high: float = math.inf


TEXT = Layout("text")
FIRST_TARGET = Layout("int64", low=1)


def save_arrays(path: Path, version: int, **arrays: np.ndarray | str | int) -> None:
    """Write arrays to an uncompressed .npz, atomically; strings and integers become 0-d arrays.

    version: of the format, which is what the arrays are and mean.
    """
    values = {_VERSION: version} | arrays
    with atomic_output(path) as temporary:
        np.savez(temporary, **{name: np.asarray(value) for name, value in values.items()})


def load_arrays(path: Path, version: int, **layouts: Layout) -> dict[str, Any]:
    """Read the named arrays of an .npz and check them; those without axes become plain values.

    Raises StageError, naming the file, if it is missing, damaged, of another version, lacks a
    name, or has an array of another type or shape or with a value out of range.
    """
    try:
        with zipfile.ZipFile(require_file(path)) as file:
            _check_version(_member(file, _VERSION, path), version, path)
            found = {name: _member(file, name, path) for name in layouts}
    except DAMAGES as error:
        raise _damaged(path, ".npz", error) from None
    lengths: dict[str, int] = {}
    return {
        name: _checked(array, layouts[name], lengths, f"{path}: {name}")
        for name, array in found.items()
    }


def _check_version(found: np.ndarray, expected: int, path: Path) -> None:
    value = _checked(found, Layout("int64"), {}, f"{path}: {_VERSION}")
    if value != expected:
        raise StageError(f"{path}: version {value} of its format; expected {expected}")


def _member(file: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    member = f"{name}.npy"
    if member not in file.namelist():
        names = [found.removesuffix(".npy") for found in file.namelist()[:20]]
        raise StageError(f"{path}: has no array `{name}`; found {names}")
    stream, size = open_member(file, member)
    with stream:
        return _read_npy(stream, size)


def open_member(file: zipfile.ZipFile, member: str) -> tuple[BinaryIO, int]:
    """A member's stream and its size in bytes; ValueError if it is compressed or there twice."""
    if file.namelist().count(member) > 1:
        raise ValueError(f"{member} is there twice")
    about = file.getinfo(member)
    if about.compress_type != zipfile.ZIP_STORED or about.file_size != about.compress_size:
        raise ValueError(f"{member} is compressed")
    return file.open(about), about.file_size


def read_npy_header(stream: BinaryIO, size: int) -> tuple[np.dtype, tuple[int, ...]]:
    """Type and shape of the array that an .npy of `size` bytes holds, its values next.

    ValueError if it is none, is not in C order, or is not of the size that these need.
    """
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not of .npy version 1.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy reads what Python 2 wrote too, and says so
        try:
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        except Warning:
            raise ValueError("its header is not as numpy writes it") from None
    if dtype.hasobject or dtype.names or dtype.subdtype or (fortran and len(shape) > 1):
        raise ValueError(f"{dtype} in Fortran's order {fortran}; expected plain values in C order")
    needed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or needed != size - stream.tell():
        raise ValueError(f"{size} bytes for {dtype} {shape}")
    return dtype, shape


def _read_npy(stream: BinaryIO, size: int) -> np.ndarray:
    dtype, shape = read_npy_header(stream, size)
    array = np.empty(shape, dtype)
    content = memoryview(array.reshape(-1).view(np.uint8)) if array.size else memoryview(b"")
    for start in range(0, len(content), _PIECE):
        part = content[start : start + _PIECE]
        if stream.readinto(part) != len(part):
            raise ValueError("ends early")
    return array


def _checked(array: np.ndarray, layout: Layout, lengths: dict[str, int], name: str) -> Any:
    """`array`, or its one value, if it is of the layout."""
    if layout.dtype == "text":
        return _text(array, name)
    found = f"{array.dtype} {array.shape}"
    expected = f"{layout.dtype} ({', '.join(map(str, layout.axes))})"
    if array.dtype != layout.dtype or not array.dtype.isnative or array.ndim != len(layout.axes):
        raise StageError(f"{name} is {found}; expected {expected}")
    for axis, length in zip(layout.axes, array.shape, strict=True):
        wanted = lengths.setdefault(axis, length) if isinstance(axis, str) else axis
        if length != wanted:
            raise StageError(f"{name} is {found}; expected {expected}, {axis} being {wanted}")
    if array.size:
        values = array.view(np.uint8) if array.dtype == np.bool_ else array
        least, most = values.min(), values.max()
        high = 1 if array.dtype == np.bool_ else layout.high
        if not (layout.low <= least and most <= high and np.isfinite([least, most]).all()):
            raise StageError(
                f"{name} has values from {least} to {most}; "
                f"expected {layout.low} to {high}, all finite"
            )
    return array if layout.axes else array.item()


def _text(array: np.ndarray, name: str) -> str:
    """A text's code points decoded by Python: numpy's own way ends in SystemError for some."""
    if array.dtype.kind != "U" or array.shape != () or array.dtype.itemsize > _LONGEST_TEXT:
        raise StageError(f"{name} is {array.dtype} {array.shape}; expected a short text")
    try:
        return (
            array.astype(array.dtype.newbyteorder("<")).tobytes().decode("utf-32-le").rstrip("\0")
        )
    except ValueError as error:
        raise StageError(f"{name} is no text ({error})") from None


def save_array(path: Path, values: np.ndarray) -> None:
    """Write one array as .npy, atomically."""
    content = io.BytesIO()  # numpy writes to files by itself and hides why the disk refused
    np.save(content, values, allow_pickle=False)
    with atomic_output(path) as temporary:
        temporary.write_bytes(content.getvalue())  # of getbuffer()'s, Python 3.12.1 can crash


def load_array(path: Path, layout: Layout) -> np.ndarray:
    """Read an .npy and check it; StageError, naming the file, if it is missing or damaged."""
    try:
        with require_file(path).open("rb") as stream:
            array = _read_npy(stream, path.stat().st_size)
    except DAMAGES as error:
        raise _damaged(path, ".npy", error) from None
    return _checked(array, layout, {}, str(path))


def _damaged(path: Path, kind: str, error: Exception) -> StageError:
    reason = str(error)[:200]  # some repeat what they found
    return StageError(f"{path}: damaged {kind} ({reason}); delete it and run again")
