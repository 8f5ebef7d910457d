"""Run a script as where only torch, numpy, safetensors and PyYAML are installed, and their needs.

python tests/support/few_packages.py bench/gpu.py --device cpu --tiny
"""

import re
import runpy
import sys
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, ClassVar

INSTALLED = ("torch", "numpy", "safetensors", "pyyaml")


def plain(name: str) -> str:
    """A distribution's name as all its spellings have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(names: tuple[str, ...]) -> set[str]:
    """These distributions and what they require, extras left out."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = plain(waiting.pop())
        if name in found:
            continue
        found.add(name)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        waiting += [re.match(r"[\w.-]+", line)[0] for line in lines if "extra ==" not in line]
    return found


class FewPackages(PathFinder):
    """Finds what is on the path but for the packages of other distributions."""

    hidden: ClassVar[set[str]] = {
        package
        for package, names in metadata.packages_distributions().items()
        if not needed(INSTALLED) & set(map(plain, names))
    }

    @classmethod
    def find_spec(cls, name: str, *place: Any) -> ModuleSpec | None:
        return None if name.partition(".")[0] in cls.hidden else super().find_spec(name, *place)


if __name__ == "__main__":
    sys.meta_path[sys.meta_path.index(PathFinder)] = FewPackages
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
