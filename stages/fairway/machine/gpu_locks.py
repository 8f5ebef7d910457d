"""Which GPUs of this machine are whose: one lock file each, held while a stage runs.

Snakemake counts GPUs and never says which one is a job's, so stages that start together would
all take the first. The operating system drops a lock when its process ends, however it ends.
The folder has a name that anybody can guess and make first, so it must be this user's alone.
"""

import contextlib
import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from fairway.stage import StageError

RETRY_SECONDS = 0.5
_EXPECTED = "expected a folder that only this user can use (remove it, or set TMPDIR)"


def hold_free(names: Sequence[str], count: int, folder: Path) -> list[int]:
    """Indices of `count` GPUs that no other process holds; held until this process ends.

    names: of all visible GPUs, the same in every process, by which the lock files in `folder`
    are called. Waits, and says so, until enough are free; takes all or none, so that two
    processes which each want several cannot block each other. Raises StageError if there are
    fewer than `count` in all.
    """
    if count > len(names):
        raise StageError(f"device: cuda; {count} GPUs wanted, this machine has {len(names)}")
    with _private(folder) as place:
        taken = try_to_hold(names, count, place)
        if not taken:
            print(f"waiting for {count} of {len(names)} GPUs: others hold them", file=sys.stderr)
        while not taken:
            time.sleep(RETRY_SECONDS)
            taken = try_to_hold(names, count, place)
    return taken


@contextlib.contextmanager
def _private(folder: Path) -> Iterator[int]:
    """Descriptor of the folder, which is made if missing.

    Raises StageError unless it is a folder, no link, of this user, that nobody else can use.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:  # a link, or no folder
        raise StageError(f"{folder}: {error.strerror}; {_EXPECTED}") from None
    try:
        found = os.fstat(place)
        mode = stat.S_IMODE(found.st_mode)
        if found.st_uid != os.getuid() or mode & 0o077:
            raise StageError(f"{folder}: of user {found.st_uid}, mode {mode:o}; {_EXPECTED}")
        yield place
    finally:
        os.close(place)


def try_to_hold(names: Sequence[str], count: int, place: int) -> list[int]:
    """Indices of `count` free GPUs, now held by this process, or none; place: of `hold_free`."""
    held: dict[int, int] = {}  # index to file descriptor
    taking = _open("taking.lock", place)
    try:
        fcntl.flock(taking, fcntl.LOCK_EX)  # one at a time, for a moment
        for index, name in enumerate(names):
            descriptor = _open(f"{name}.lock", place)
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
    finally:
        os.close(taking)
    return []


def _open(name: str, place: int) -> int:
    """Descriptor of a lock file, made if missing; its content is not touched, links refused."""
    return os.open(name, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600, dir_fd=place)
