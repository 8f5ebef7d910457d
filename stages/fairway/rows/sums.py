"""Sums of nats and bytes of one row and seed, by rank: what a score is made of.

Sums add; bits per byte is divided once, over all ranks. The file is JSON.
"""

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from fairway.stage import StageError, read_json, write_json


@dataclass(frozen=True)
class RankSum:
    """One rank's share: targets from first_target on, their nats (float64) and bytes.

    seconds: wall time of mixing them.
    """

    row: str
    seed: int
    rank: int
    first_target: int
    targets: int
    nats: float
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Sums:
    """All ranks of one row and seed, and the specs and artifact they were made from.

    counts_spec is None for a row without a cache.
    """

    spec: str
    scores_spec: str
    counts_spec: str | None
    artifact_sha256: str
    seconds: float
    sums: tuple[RankSum, ...]

    @property
    def seed(self) -> int:
        return self.sums[0].seed

    @property
    def nats(self) -> float:
        return math.fsum(part.nats for part in self.sums)

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.sums)

    @property
    def targets(self) -> int:
        return sum(part.targets for part in self.sums)

    @property
    def bits_per_byte(self) -> float:
        return bits_per_byte(self.nats, self.bytes)

    def save(self, path: Path) -> None:
        """Write as JSON, atomically."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Sums":
        """Read and check; raises StageError naming the file and the missing key."""
        value = _checked(path, read_json(path), cls)
        parts = value["sums"]
        if not isinstance(parts, list) or not parts:
            raise StageError(f"{path}: `sums` is {parts!r}; expected one entry per rank")
        value["sums"] = tuple(RankSum(**_checked(path, part, RankSum)) for part in parts)
        return cls(**value)


def bits_per_byte(nats: float, count: int) -> float:
    """Bits per byte of a sum of nats over a sum of bytes."""
    return nats / math.log(2) / count


def _checked(path: Path, value: object, kind: type) -> dict:
    names = [field.name for field in fields(kind)]
    if not isinstance(value, dict) or sorted(value) != sorted(names):
        found = sorted(value) if isinstance(value, dict) else value
        raise StageError(f"{path}: found {found}; a sums file has {names}")
    return dict(value)
