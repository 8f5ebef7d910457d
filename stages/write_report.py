"""Show a finished run as one page with pictures.

    ./run report

    python stages/write_report.py --spec results/specs/write_report.*.json --results results \\
        --report results/report.html --figures results/figures

Reads the tables and the small files beside them, under --results. Writes a page that needs
nothing else (no script, no network), readable on a phone, light and dark; and its figures as
.svg and .png, with the page again as index.html, which `./run --report report.zip report` shows
first (docs/workflow.rst).
"""

from fairway.start import run

import os
import platform
import shutil
from importlib.metadata import version
from typing import Any, TypedDict

from fairway.corpus.manifest import Overlap
from fairway.files.spec import read_spec
from fairway.provenance import Recording
from fairway.stage import StageError, atomic_output, stage_parser
from fairway.tables.report.data import Run, load_run
from fairway.tables.report.page import page
from fairway.tables.report.sections import differences, sections, settings_table
from fairway.tables.report.style import file_png, file_svg
from fairway.workflow.config import checked_config


class Configurations(TypedDict):
    """What this stage depends on: the run's whole configuration, and the default one."""

    config: dict[str, Any]
    default: dict[str, Any]


PACKAGES = ("torch", "numpy", "numba", "sentencepiece", "snakemake", "scipy", "pandas")


def provenance(found: Run, spec: str) -> list[list[str]]:
    """Hashes, versions and the machine, as cells."""
    cells = [["what", "value"], ["spec", spec]]
    cells.append(["tokenizer", found.manifest["tokenizer"]["sha256"]])
    cells.append(["validation text", found.manifest["val"]["sha256"]])
    for model, of_model in found.models.items():
        seed = found.config["seeds"][0]
        cells.append([f"artifact {model}, seed {seed}", of_model.ledger["artifact_sha256"]])
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    cells.append(["versions", f"Python {platform.python_version()}, {versions}"])
    system = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} CPU cores"
    cells.append(["machine of this page", system])
    return cells


def lead(found: Run) -> str:
    """The sentence under the title."""
    valid = found.summary[found.summary["is_code_length"]]
    val, seeds = found.manifest["val"], ", ".join(map(str, found.config["seeds"]))
    text = f"{val['targets']:,} validation tokens, {val['bytes']:,} bytes; seeds {seeds}."
    text += f" {Overlap(**found.manifest['overlap']).in_words()}"
    if valid.empty:
        return f"{text} No row is a code length."
    best = valid.loc[valid["bpb_mean"].idxmin()]
    return f"{text} Best code length: {best['row']}, {best['bpb_mean']:.4f} bits per byte."


def main() -> None:
    parser = stage_parser(__doc__, "spec", "results", "report", "figures")
    options = parser.parse_args()
    if options.report.resolve().is_relative_to(options.figures.resolve()):
        raise StageError(
            f"--report: {options.report}; expected outside --figures {options.figures}"
        )
    spec = read_spec(options.spec, Configurations)
    recording = Recording(
        options.provenance, spec, [options.results / "provenance/aggregate_seeds.json"]
    )
    config, default = (
        checked_config(spec.settings[name], options.spec) for name in ("config", "default")
    )
    found = load_run(options.results, config)
    shown = list(sections(found))
    changed = differences(config, default)
    text = page(
        "Fairway: what this run found",
        lead(found),
        shown,
        settings_table(changed),
        provenance(found, spec.sha256),
    )
    shutil.rmtree(options.figures, ignore_errors=True)
    for section in shown:
        for name, (_, figure) in section.figures.items():
            for suffix, content in (("svg", file_svg(figure)), ("png", file_png(figure))):
                with atomic_output(options.figures / f"{name}.{suffix}") as temporary:
                    temporary.write_bytes(content)
    for path in (options.figures / "index.html", options.report):
        with atomic_output(path) as temporary:
            temporary.write_text(text)
    recording.finish(options.report)


if __name__ == "__main__":
    run(main)
