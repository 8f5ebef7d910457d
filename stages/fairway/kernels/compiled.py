"""The decorator of compiled functions: numba's, with a disk cache that notices every change.

numba keeps compiled code beside the source and checks the file that a function stands in, but not
the files of the functions it calls: their code was compiled into it, so it would go on as if they
had not changed. Here the stamp that is checked covers all compiled functions of the library.
"""

import hashlib
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

from numba import config, njit

from fairway.stage import StageError


def compiled(function: Callable) -> Callable:
    """Compile at the first call, keep on disk, and release Python's lock while running.

    Where nothing can be kept, neither beside the source nor in the user's cache folder, every
    process compiles anew.
    """
    return _compiled(function)


def borrowing(function: Callable) -> Callable:
    """The same for small steps that make no arrays and hand none back: they only borrow theirs.

    numba counts the references to every array of a call, one locked instruction each, and passes
    every array as seven numbers: together more than the work of a small function. So these count
    none and become part of their callers. Division by zero gives inf or nan.
    """
    return _compiled(function, _nrt=False, forceinline=True, error_model="numpy")


def _compiled(function: Callable, **options: Any) -> Callable:
    if config.DISABLE_JIT:
        return _refusing(function)
    try:
        dispatcher = njit(cache=True, nogil=True, **options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return njit(nogil=True, **options)(function)
    index = dispatcher._cache._cache_file
    index._source_stamp = index._source_stamp, library_stamp()
    return dispatcher


def _refusing(function: Callable) -> Callable:
    """In place of a function that was not compiled: an error in one line when it is called."""

    @wraps(function)
    def refuse(*_arguments: Any, **_named: Any) -> None:
        raise StageError("NUMBA_DISABLE_JIT: 1; expected 0: kernels must be compiled")

    return refuse


@cache
def library_stamp() -> str:
    """Hash of the files of this library that use numba or this module."""
    digest = hashlib.sha256()
    library = Path(__file__).parents[1]
    for path in sorted(library.rglob("*.py")):
        content = path.read_bytes()
        if b"numba" in content or b"fairway.kernels.compiled" in content:
            name = path.relative_to(library).as_posix()
            digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()
