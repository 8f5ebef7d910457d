"""Which GPUs of this machine are whose: one lock file each, held while a stage runs.

Snakemake counts GPUs and never says which one is a job's, so stages that start together would
all take the first. The operating system drops a lock when its process ends, however it ends.
"""

import fcntl
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fairway.stage import StageError

RETRY_SECONDS = 0.5


def hold_free(names: Sequence[str], count: int, folder: Path) -> list[int]:
    """Indices of `count` GPUs that no other process holds; held until this process ends.

    names: of all visible GPUs, the same in every process, by which the lock files in `folder`
    are called. Waits, and says so, until enough are free; takes all or none, so that two
    processes which each want several cannot block each other. Raises StageError if there are
    fewer than `count` in all.
    """
    if count > len(names):
        raise StageError(f"device: cuda; {count} GPUs wanted, this machine has {len(names)}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    taken = try_to_hold(names, count, folder)
    if not taken:
        print(f"waiting for {count} of {len(names)} GPUs: others hold them", file=sys.stderr)
    while not taken:
        time.sleep(RETRY_SECONDS)
        taken = try_to_hold(names, count, folder)
    return taken


def try_to_hold(names: Sequence[str], count: int, folder: Path) -> list[int]:
    """Indices of `count` free GPUs, now held by this process, or none."""
    held: dict[int, int] = {}  # index to file descriptor
    with (folder / "taking.lock").open("w") as taking:
        fcntl.flock(taking, fcntl.LOCK_EX)  # one at a time, for a moment
        for index, name in enumerate(names):
            descriptor = os.open(folder / f"{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            held[index] = descriptor
            if len(held) == count:
                return list(held)  # left open: closing gives them back
        for descriptor in held.values():
            os.close(descriptor)
    return []
