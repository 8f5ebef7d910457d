"""Processes of one machine, each running stages, that wait for each other by files."""

import os
import time
from pathlib import Path

from fairway.stage import StageError

_LOOK_SECONDS = 0.2


class Ranks:
    """One of the processes that torchrun started, or the only one.

    folder: for the files, shared by all. Their names hold the id of the launching process, so
    that what an earlier run left is not taken for this one's.
    """

    def __init__(self, folder: Path, rank: int, world_size: int) -> None:
        self.folder, self.rank, self.world_size = folder, rank, world_size
        self.launcher = os.getppid()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def reach(self, step: str) -> None:
        """Tell the others that this process has done a step."""
        self._file(step, self.rank).touch()

    def wait(self, step: str, ranks: range) -> None:
        """Wait until these ranks have reached a step; StageError if the launcher has ended."""
        while not all(self._file(step, rank).exists() for rank in ranks):
            if os.getppid() != self.launcher:
                raise StageError(f"rank {self.rank}: the process that launched it has ended")
            time.sleep(_LOOK_SECONDS)

    def _file(self, step: str, rank: int) -> Path:
        return self.folder / f"{self.launcher}.{step}.{rank}"
