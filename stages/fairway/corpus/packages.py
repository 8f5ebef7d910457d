"""Installed packages by either of their names: what is imported, and what was installed.

`yaml` is imported, `PyYAML` is installed; both mean the same here. Nothing is imported for it.
"""

import importlib.util
import platform
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path

from fairway.stage import StageError


def find_module(name: str) -> ModuleSpec | None:
    """Where Python would find a top-level module; None if nowhere."""
    try:
        return importlib.util.find_spec(name) if name.isidentifier() else None
    except ValueError:  # __main__
        return None


def modules_of(package: str) -> list[str]:
    """Top-level modules of a package, sorted: itself if it is imported by this name.

    Raises StageError if nothing is imported or installed by this name.
    """
    if find_module(package) is not None:
        return [package]
    try:
        installed = distribution(package).name
    except (PackageNotFoundError, ValueError):
        raise StageError(
            f"corpus.packages: {package!r} is not installed; expected a name by which a package "
            "is imported or installed"
        ) from None
    brought = packages_distributions().items()
    return sorted(m for m, names in brought if installed in names and not m.startswith("_"))


def versions_of(package: str) -> dict[str, str]:
    """What a package was installed as → its version; `python` for the standard library.

    Raises StageError for a package that was not installed, which has no version.
    """
    return dict(found for module in modules_of(package) for found in _brought_by(module))


def _brought_by(module: str) -> list[tuple[str, str]]:
    """Name and version of every distribution that a module is from."""
    if module in sys.stdlib_module_names:
        return [("python", platform.python_version())]
    try:
        same_name = distribution(module)
    except PackageNotFoundError:
        same_name = None
    if same_name is None or not Path(same_name.locate_file(module)).is_dir():
        names = packages_distributions().get(module)  # a fifth of a second
        if names:
            return [(name, version(name)) for name in dict.fromkeys(names)]
    if same_name is None:
        raise StageError(
            f"corpus.packages: {module!r} is from no installed package; expected one, since its "
            "version says what the corpus is"
        )
    return [(same_name.name, same_name.version)]
