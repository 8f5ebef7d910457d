"""What a row's jobs depend on: windows and ranks, its model's name, its cache and its gate."""

from pathlib import Path
from typing import Any, NotRequired

from fairway.corpus.windows import RankedWindows
from fairway.counting.settings import CacheEntry
from fairway.files.spec import Name, Vocabulary
from fairway.gates.settings import GateEntry
from fairway.stage import StageError


class RowSettings(RankedWindows):
    """Entries of the configuration by which a row is mixed; None for what it goes without."""

    row: Name
    model: Name | None
    cache: Name
    cache_settings: CacheEntry | None
    gate: GateEntry | None
    vocabulary: Vocabulary


class RowOfAnyJob(RowSettings):
    """A row's settings in the spec of any of its jobs; what else is in such a spec is not read."""

    audit: NotRequired[Any]
    claim: NotRequired[Any]
    seeds: NotRequired[Any]
    seed: NotRequired[Any]
    proof: NotRequired[Any]
    decodable: NotRequired[Any]
    memory: NotRequired[Any]
    artifact_bytes: NotRequired[Any]


def require_files(row: str, wanted: dict[str, tuple[list[Path], int]]) -> None:
    """Raise StageError unless a row got as many files as it takes; wanted: both, by flag."""
    for flag, (files, count) in wanted.items():
        if len(files) != count:
            raise StageError(f"--{flag}: {len(files)} files; row {row} takes {count}")
