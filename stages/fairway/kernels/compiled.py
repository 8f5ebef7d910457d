"""The decorator of compiled functions: numba's, with a disk cache that notices every change.

numba keeps compiled code beside the source and checks the file that a function stands in, but not
the files of the functions it calls, nor of the constants it uses: they were compiled into it, so
it would go on as if they had not changed. Here the stamp that is checked covers the code of all
files that the function's own imports, directly or not. And what is kept may be damaged, or hold a
class that is gone since: numba would end with whatever unpickling it raises, here it is made anew.

Code that a bundle unpacked (`unbundle.py`) keeps it in one folder for all bundles, by that stamp:
what two of them have in common is compiled once.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core.caching import IndexDataCacheFile

from fairway.closure import STAGES, code_sha256
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
    kept = dispatcher._cache
    code = code_sha256(Path(dispatcher.py_func.__code__.co_filename))
    stamp = kept._cache_file._source_stamp, code
    folder = _shared_folder(code) or kept.cache_path
    kept._cache_file = _Kept(folder, kept._impl.filename_base, stamp)
    return dispatcher


class _Kept(IndexDataCacheFile):
    """Compiled code on disk, of which only what can be read counts; the rest is written anew."""

    def _load_index(self) -> dict:
        try:
            return super()._load_index()
        except Exception:  # unpickling raises anything: its bytes name classes and call them
            return {}

    def load(self, key: Any) -> Any:
        try:
            return super().load(key)
        except Exception:
            return None


def _shared_folder(code: str) -> str | None:
    """Where bundles keep what was compiled of code with this hash; None where this is none."""
    folder = STAGES.parent / "compiled" / code[:16]
    if not STAGES.name.startswith("code-"):
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder)


def _refusing(function: Callable) -> Callable:
    """In place of a function that was not compiled: an error in one line when it is called."""

    @wraps(function)
    def refuse(*_arguments: Any, **_named: Any) -> None:
        raise StageError("NUMBA_DISABLE_JIT: 1; expected 0: kernels must be compiled")

    return refuse
