"""The environment of jobs: what the caller's shell must not change about them. Standard library.

A stage finds the library because its own folder is first on Python's path, and its packages in
the environment of the interpreter that runs it: variables that say otherwise are taken away.
"""

import sys
from collections.abc import MutableMapping
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


def interpreter(workflow: Any) -> str:
    """What runs the stages of Snakemake's `workflow`: its own Python, or a conda environment's."""
    methods = workflow.deployment_settings.deployment_method
    return "python" if any(method.name == "CONDA" for method in methods) else sys.executable
