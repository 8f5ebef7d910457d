"""What aggregation takes of the JSON files of finished jobs: keys, types and signs.

Each class is the part of a file that is read; other keys are passed over.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from fairway.files.records import Amount, Natural, Positive, View, Within, build
from fairway.stage import StageError, read_json

Kind = TypeVar("Kind")
Real = Annotated[float, Within(-1e12, 1e12)]
Mass = Annotated[float, Within(0, 1e12)]


@dataclass(frozen=True)
class Ledger(View):
    """ledger.json of pack_artifact."""

    seed: int
    artifact_sha256: str
    total_bytes: Positive
    seconds: Amount


@dataclass(frozen=True)
class SeedSizes(View):
    """One seed's share of a row's ledger: its network, and all that the row needs with it."""

    network_bytes: Natural
    total_bytes: Positive
    artifact_sha256: str | None


@dataclass(frozen=True)
class RowLedger(View):
    """ledger.json of pack_row. source_bytes: of the bundle's code as it stands in stages/."""

    code_counted: Literal["decoder", "scoring"]
    limit_bytes: Positive
    memory_bytes: Natural
    memory_sha256: str | None
    bundle_bytes: Positive
    bundle_sha256: str
    source_bytes: Positive
    seeds: Annotated[dict[str, SeedSizes], Within(1)]

    def __post_init__(self) -> None:
        for seed, sizes in self.seeds.items():
            total = sizes.network_bytes + self.memory_bytes + self.bundle_bytes
            if sizes.total_bytes != total:
                raise StageError(
                    f"seeds.{seed}.total_bytes: {sizes.total_bytes}; expected {total}, the sum"
                )

    @property
    def largest(self) -> SeedSizes:
        """Of the seed with the largest network."""
        return max(self.seeds.values(), key=lambda sizes: sizes.total_bytes)


@dataclass(frozen=True)
class QuantizeReport(View):
    """quantize.json."""

    calibration_seconds: Amount
    quantize_seconds: Amount


@dataclass(frozen=True)
class ScoreStats(View):
    """rankN.json of score_targets."""

    load_seconds: Amount
    seconds: Amount


@dataclass(frozen=True)
class JobStats(View):
    """stats.json of count_ngrams, and the JSON file that pack_memory leaves beside a memory."""

    seconds: Amount


@dataclass(frozen=True)
class SameText(View):
    """Which text the tokens give back, and the bytes of the original if that is known."""

    text: Literal["original", "decoded"]
    original_bytes: Natural | None


@dataclass(frozen=True)
class Checks(View):
    same_text: SameText


@dataclass(frozen=True)
class SeedFigures(View):
    """What was found of one seed, and hashes of what it was found of."""

    artifact_sha256: str
    sums_sha256: str
    mean_z: Mass
    bpb_normalized: Real
    standard_error: Amount | None  # of bpb_normalized, from the targets at which Z is measured


@dataclass(frozen=True)
class Audit(View):
    """audit.json of a row; seeds: figures by seed."""

    is_code_length: bool
    checks: Checks
    seeds: dict[str, SeedFigures]


@dataclass(frozen=True)
class Proof(View):
    """proof.json of a row that claims a code length."""

    artifact_sha256: str | None
    bundle_sha256: str
    decoded: bool


def read_input(path: Path, kind: type[Kind]) -> Kind:
    """A file of finished jobs as one of these classes; StageError naming file and key."""
    return build(kind, read_json(path), path)
