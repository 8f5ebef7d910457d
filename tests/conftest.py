"""For all tests: one thread per process, and the environment that jobs have."""

import os

from fairway.workflow.environment import clean

clean(os.environ)
for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # before any of them is imported
