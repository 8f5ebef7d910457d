"""The environment of jobs: what the caller's shell must not change about them. Standard library.

A stage finds the library because its own folder is first on Python's path, and its packages in
the environment of the interpreter that runs it: variables that say otherwise are taken away.
"""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

SHELL = ("BASH_ENV", "CDPATH", "ENV", "GLOBIGNORE", "SHELLOPTS", "BASHOPTS")
HARMLESS = (  # say where bytecode lies and when output is written, nothing that changes results
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONFAULTHANDLER",
    "PYTHONPYCACHEPREFIX",
    "PYTHONUNBUFFERED",
)


def clean(environment: MutableMapping[str, str]) -> None:
    """Take away variables that change how a shell or Python finds and runs what it is given."""
    for name in list(environment):
        if name in SHELL or (name.startswith("PYTHON") and name not in HARMLESS):
            del environment[name]


def place_caches(environment: MutableMapping[str, str], folder: Path) -> None:
    """Where the user's cache folder cannot be written, name `folder` for what programs keep.

    Snakemake and matplotlib need one; numba wants one where the checkout cannot be written.
    """
    home = Path(environment.get("HOME", ""))
    if not _can_write(Path(environment.get("XDG_CACHE_HOME") or home / ".cache")):
        environment["XDG_CACHE_HOME"] = str(folder)
        environment["MPLCONFIGDIR"] = str(folder / "matplotlib")


def _can_write(folder: Path) -> bool:
    """Whether a folder can be written, or made."""
    if not folder.is_absolute():
        return False
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def interpreter(workflow: Any) -> str:
    """What runs the stages of Snakemake's `workflow`: its own Python, or a conda environment's."""
    methods = workflow.deployment_settings.deployment_method
    return "python" if any(method.name == "CONDA" for method in methods) else sys.executable
