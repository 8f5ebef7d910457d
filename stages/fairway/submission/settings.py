"""What write_submission depends on: who hands in, and what a row's script is started with."""

from pathlib import Path
from typing import NotRequired, TypedDict

from fairway.artifact.settings import PackingSettings, QuantizationSettings
from fairway.counting.settings import CountSettings, PackedMemory
from fairway.files.spec import Count, Name, Seed, Vocabulary, read_spec
from fairway.provenance import Provenance
from fairway.rows.settings import RowSettings
from fairway.scoring.settings import ScoringSettings
from fairway.stage import StageError, sha256_of
from fairway.tables.settings import Limits
from fairway.training.settings import ModelSettings


class HandedIn(TypedDict):
    """The `submission` section."""

    row: str | None
    name: Name
    author: str | None
    github_id: str | None
    date: str | None
    blurb: str
    allow_invalid: bool


class GivenCorpus(TypedDict):
    """What the script's encode_corpus is told beside the shards that its caller has."""

    vocabulary: Vocabulary
    minimum_documents: Count


class Stages(TypedDict):
    """Settings of the stages that a row's script runs; the last two where there is a cache."""

    encode_corpus: GivenCorpus
    train_model: ModelSettings
    quantize_model: QuantizationSettings
    pack_artifact: PackingSettings
    score_targets: ScoringSettings
    count_ngrams: NotRequired[CountSettings]
    pack_memory: NotRequired[PackedMemory]


class Script(TypedDict):
    """What a row's script is started with."""

    row: RowSettings
    seed: Seed
    stages: Stages


class SubmissionSettings(TypedDict):
    """What this stage depends on. rows: what the script of every row with a model is given."""

    submission: HandedIn
    limits: Limits
    rows: dict[str, Script]


def made_with(results: Path) -> SubmissionSettings:
    """What the folder that was made last was made with; StageError if its spec is not there."""
    recorded = results / "provenance" / "write_submission.json"
    wanted = Provenance.load(recorded).spec
    for path in sorted((results / "specs").glob("write_submission.*.json")):
        if sha256_of(path) == wanted:
            return read_spec(path, SubmissionSettings).settings
    raise StageError(
        f"{results / 'specs'}: no write_submission.{wanted[:16]}.json, as {recorded} "
        "has it; run submission again"
    )
