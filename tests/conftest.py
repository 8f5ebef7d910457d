"""For all tests: one thread per process, the environment that jobs have, and Ctrl-C heeded."""

import os
import signal

from fairway.workflow.environment import clean

clean(os.environ)
for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # before any of them is imported

# A script's background ignores Ctrl-C, and would teach that to all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
