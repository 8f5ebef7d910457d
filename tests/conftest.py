"""For all tests: one thread per process, and the tests on one finished run on one worker."""

import os

import pytest

for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # before any of them is imported


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the workflow tests, which share a finished smoke run, to one worker."""
    for item in items:
        if "smoke" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("smoke"))
