"""For all tests: one thread per process, and the tests on one finished run on one worker."""

import os

import pytest

for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # before any of them is imported


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that share a finished run to one worker: dry-runs, real runs, the record's."""
    for item in items:
        for run in ("smoke", "shrunk"):
            if run in getattr(item, "fixturenames", ()):
                kind = "dry" if item.path.stem == "test_reruns" else "real"
                item.add_marker(pytest.mark.xdist_group(f"{run}-{kind}"))
