"""Sums of nats and bytes of one row and seed, by rank: what a score is made of.

Sums add; bits per byte is divided once, over all ranks. The file is JSON.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from fairway.files.records import Amount, Natural, Positive, Within, build
from fairway.stage import StageError, read_json, write_json


@dataclass(frozen=True)
class RankSum:
    """One rank's share: targets from first_target on, their nats (float64) and bytes.

    seconds: wall time of mixing them.
    """

    row: str
    seed: Natural
    rank: Natural
    first_target: Positive
    targets: Positive
    nats: Annotated[float, Within(-1.0)]  # rounding may leave a little less than 0
    bytes: Natural
    seconds: Amount


@dataclass(frozen=True)
class Sums:
    """All ranks of one row and seed, and the specs and artifact they were made from.

    counts_spec is None for a row without a cache.
    """

    spec: str
    scores_spec: str
    counts_spec: str | None
    artifact_sha256: str
    seconds: Amount
    sums: Annotated[tuple[RankSum, ...], Within(1)]

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
        sums = build(cls, read_json(path), path)
        for rank, part in enumerate(sums.sums):
            if (part.row, part.seed, part.rank) != (sums.sums[0].row, sums.seed, rank):
                raise StageError(
                    f"{path}: row {part.row}, seed {part.seed}, rank {part.rank}; expected rank "
                    f"{rank} of row {sums.sums[0].row}, seed {sums.seed}"
                )
        if not sums.bytes:
            raise StageError(f"{path}: 0 bytes in all; expected some to divide by")
        return sums


def bits_per_byte(nats: float, count: int) -> float:
    """Bits per byte of a sum of nats over a sum of bytes."""
    return nats / math.log(2) / count
