"""Parts of bench/gpu.py, which a GPU machine runs with few packages.

What the library imports and no part uses is stood in for where it is not installed.
"""

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NoReturn

PACKERS = ("brotli", "constriction", "zstandard")


class Absent(ModuleType):
    """A module of any names, none of which does anything."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__name__}.{name}")

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise ModuleNotFoundError(f"{self.__name__}: not installed, and not to be used here")


for packer in PACKERS:
    if find_spec(packer) is None:
        sys.modules[packer] = Absent(packer)
