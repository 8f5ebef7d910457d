"""submission.json: who hands in what, and the score that is claimed for it."""

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from fairway.files.records import Amount, Natural, Positive, View, Within, build
from fairway.stage import LARGEST_JSON, StageError, parse_json, require_file

Words = Annotated[str, Within(1, 2000)]
Score = Annotated[float, Within(0, 1000)]


@dataclass(frozen=True)
class SeedResult(View):
    """One seed: its score, all its bytes with the code, and what its log says of its times."""

    val_loss: Score  # nats per token
    val_bpb: Score
    artifact_bytes: Positive
    steps: Natural
    step_avg_ms: Amount
    eval_time_s: Amount


@dataclass(frozen=True)
class Submission(View):
    """The whole record. bytes_total: of the largest seed; val_bpb: mean over the seeds; row: of
    this project's table, which it is the score of; seed_results: by seed.
    """

    name: Words
    author: Words
    github_id: Words
    date: str
    blurb: Words
    val_bpb: Score
    val_bpb_std: Score | None
    bytes_total: Positive
    row: Words
    seeds: Annotated[tuple[Natural, ...], Within(1)]
    seed_results: dict[str, SeedResult]

    def __post_init__(self) -> None:
        try:
            datetime.date.fromisoformat(self.date)
        except ValueError:
            raise StageError(f"date: {self.date!r}; expected a day as 2026-04-30") from None

    def as_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def load(cls, path: Path) -> "Submission":
        """Read and check; raises StageError naming the file and the key."""
        if require_file(path).stat().st_size > LARGEST_JSON:
            raise StageError(f"{path}: more than {LARGEST_JSON} bytes")
        return build(cls, parse_json(path.read_bytes(), path), path)
