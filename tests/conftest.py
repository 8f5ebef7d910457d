"""For all tests: one thread per process, and the tests on the shrunk record on one worker."""

import os

import pytest

for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # before any of them is imported


@pytest.hookimpl(tryfirst=True)  # xdist's workers read the groups in this hook, too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests that share the record's shrunk run to one worker."""
    for item in items:
        if "shrunk" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("shrunk"))
