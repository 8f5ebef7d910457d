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
from typing import TYPE_CHECKING

from fairway.closure import STAGES
from fairway.files.spec import read_spec
from fairway.model.architecture import ModelConfig
from fairway.provenance import Recording
from fairway.stage import StageError, stage_parser
from fairway.submission.checks import problems
from fairway.submission.finished import FinishedRow, best_row
from fairway.submission.folder import files, requirements
from fairway.submission.script import packages, script
from fairway.submission.settings import SubmissionSettings
from fairway.training.settings import ModelSettings, TrainingSettings

if TYPE_CHECKING:  # never imported, only named: the code that is packed is code of this stage
    import train_gpt

    PACKED = train_gpt

PINNED = STAGES.parent / "envs" / "requirements.txt"


def require_model(model: ModelSettings) -> None:
    """Raise StageError unless a model's sections are what its stages take."""
    config = ModelConfig.from_settings(model["architecture"], model["vocabulary"])
    TrainingSettings.from_settings(model["training"]).require_context(config.rope_context)


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
    allowed = limits["artifact_bytes"], who["allow_invalid"]
    wrong = problems(making, options.results, *allowed, settings)
    if wrong:
        raise StageError("; ".join(wrong).replace(str(making), str(options.folder)))
    shutil.rmtree(options.folder, ignore_errors=True)
    making.replace(options.folder)
    recording.finish(*sorted(options.folder.iterdir()))


if __name__ == "__main__":
    run(main)
