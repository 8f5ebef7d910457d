"""Numpy arrays in .npz files (several, named) and .npy: atomic to write, checked on reading."""

import io
import zipfile
from pathlib import Path

import numpy as np

from fairway.stage import StageError, atomic_output, require_file


def save_arrays(path: Path, **arrays: np.ndarray | str | int) -> None:
    """Write arrays to an uncompressed .npz, atomically; strings and integers become 0-d arrays."""
    with atomic_output(path) as temporary:
        np.savez(temporary, **{name: np.asarray(value) for name, value in arrays.items()})


def load_arrays(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Read the named arrays of an .npz; every member's checksum is verified.

    Raises StageError, naming the file, if it is missing, damaged or lacks a name.
    """
    try:
        with np.load(require_file(path), allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise StageError(f"{path}: has no array `{missing[0]}`; found {file.files}")
            return {name: file[name] for name in names}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, OSError) as error:
        raise StageError(f"{path}: damaged .npz ({error}); delete it and run again") from None


def save_array(path: Path, values: np.ndarray) -> None:
    """Write one array as .npy, atomically."""
    content = io.BytesIO()  # numpy writes to files by itself and hides why the disk refused
    np.save(content, values, allow_pickle=False)
    with atomic_output(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_array(path: Path) -> np.ndarray:
    """Read an .npy; StageError, naming the file, if it is missing or damaged."""
    try:
        return np.load(io.BytesIO(require_file(path).read_bytes()), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise StageError(f"{path}: damaged .npy ({error}); delete it and run again") from None
