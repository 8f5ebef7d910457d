"""Snakemake, which finds the loggers beside this file; started by launch.py.

    .venv/bin/python -E envs/run_snakemake.py [snakemake arguments]

Importing it takes a second, in which Ctrl-C leaves no traceback.
"""

import signal
import sys
from pathlib import Path
from typing import Any


def hash_once(kind: type) -> None:
    """Let Snakemake's files of this class remember their checksums while this process lives.

    At a job's end it hashes each of the inputs once for every output, and again at the next job's
    that reads them; with gigabytes of counts and scores that took as long as the jobs. A file is
    the same as before if its inode, size and time are. Whether results are right does not depend
    on these checksums: that is told by provenance.
    """
    checksum, found = kind.checksum, {}

    async def remembered(self: Any, *arguments: Any, **named: Any) -> str | None:
        try:
            about = Path(self.file).stat()
        except OSError:
            return await checksum(self, *arguments, **named)
        state = about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
        key = state, arguments, tuple(named.items())
        if key not in found:
            found[key] = await checksum(self, *arguments, **named)
        return found[key]

    kind.checksum = remembered


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.path[0] = str(Path(__file__).resolve().parent / "loggers")
    from snakemake.cli import main as snakemake
    from snakemake.io import _IOFile

    hash_once(_IOFile)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    snakemake()


if __name__ == "__main__":
    main()
