"""Make the folder that is handed in, from a finished run: the contest's shape.

    ./run submission

    python stages/write_submission.py --spec results/specs/write_submission.*.json \\
        --results results --folder /tmp/2026-04-30_Fairway

Writes README.md, submission.json, train_gpt.py, requirements.txt and a log for every seed: of the
row that the configuration names, else of the best one that is a code length. train_gpt.py is one
file that trains and scores that row alone (train_gpt.py here, bundled with the stages that it
runs). The folder is checked as check_submission does, and is not made if anything is wrong.
"""

from fairway.start import run

import shutil
from typing import TYPE_CHECKING, NotRequired, TypedDict

from fairway.artifact.settings import PackingSettings, QuantizationSettings
from fairway.bundle import bundle, code_files
from fairway.closure import STAGES, imported_packages
from fairway.counting.settings import CountSettings, PackedMemory
from fairway.files.spec import Count, Name, Seed, Vocabulary, read_spec
from fairway.model.architecture import ModelConfig
from fairway.provenance import Recording
from fairway.rows.settings import RowSettings
from fairway.scoring.settings import ScoringSettings
from fairway.stage import StageError, stage_parser
from fairway.submission.checks import problems
from fairway.submission.finished import FinishedRow, best_row
from fairway.submission.folder import files, requirements
from fairway.tables.settings import Limits
from fairway.training.settings import ModelSettings, TrainingSettings

if TYPE_CHECKING:  # never imported, only named: the code that is packed is code of this stage
    import train_gpt

    PACKED = train_gpt

SCRIPTS = (
    *("train_gpt.py", "encode_corpus.py", "train_model.py", "quantize_model.py"),
    *("pack_artifact.py", "pack_memory.py", "score_targets.py", "count_ngrams.py"),
)
PINNED = STAGES.parent / "envs" / "requirements.txt"


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


def script(entry: Script) -> bytes:
    """train_gpt.py of a row. entry: its settings and those of its stages."""
    return bundle(code_files(SCRIPTS), "train_gpt", entry)


def require_model(model: ModelSettings) -> None:
    """Raise StageError unless a model's sections are what its stages take."""
    config = ModelConfig.from_settings(model["architecture"], model["vocabulary"])
    TrainingSettings.from_settings(model["training"]).require_context(config.rope_context)


def packages() -> set[str]:
    """Installed packages that the script imports."""
    return {name for path in SCRIPTS for name in imported_packages(STAGES / path)}


def main() -> None:
    options = stage_parser(__doc__, "spec", "results", "folder").parse_args()
    spec = read_spec(options.spec, SubmissionSettings)
    settings = spec.settings
    recording = Recording(
        options.provenance, spec, [options.results / "provenance/aggregate_seeds.json"]
    )
    who, limits = settings["submission"], settings["limits"]
    row = FinishedRow(options.results, who["row"] or best_row(options.results))
    if row.row not in settings["rows"]:
        raise StageError(f"{options.spec}: no row {row.row}; expected its settings in `rows`")
    entry = settings["rows"][row.row]
    require_model(entry["stages"]["train_model"])
    made = files(row, who, entry, limits, script(entry))
    made["requirements.txt"] = requirements(PINNED, packages()).encode()
    making = options.folder.with_name(f".{options.folder.name}.tmp")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for name, content in made.items():
        (making / name).write_bytes(content)
    wrong = problems(making, options.results, limits["artifact_bytes"], who["allow_invalid"])
    if wrong:
        raise StageError("; ".join(wrong).replace(str(making), str(options.folder)))
    shutil.rmtree(options.folder, ignore_errors=True)
    making.replace(options.folder)
    recording.finish(*sorted(options.folder.iterdir()))


if __name__ == "__main__":
    run(main)
