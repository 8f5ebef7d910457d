"""Turn all rows' sums, audits, ledgers and timings into the tables.

    python stages/aggregate_seeds.py --spec results/specs/aggregate_seeds.*.json \\
        --results results --summary results/summary.csv --seeds results/seeds.csv \\
        --ablation results/ablation.csv --ladder results/ablation.md \\
        --budget results/budget.csv --statistics results/statistics.csv

Reads, under --results, the files of the spec's rows and seeds, and nothing else, once the
provenance of all jobs behind them agrees. Writes the summary (a line per row), the raw values (a
line per row and seed), the ablation ladder as CSV and Markdown, the seconds of every step against
the contest's limits, and how each row compares with the row above it and with the configuration's
`references`.
"""

from fairway.start import run

from pathlib import Path

import numpy as np
import pandas as pd

from fairway.corpus.manifest import Manifest
from fairway.files.spec import read_spec
from fairway.provenance import Recording
from fairway.rows.profile import Profile
from fairway.stage import atomic_output, stage_parser
from fairway.tables.aggregation import budget_table, require_current, seeds_table, summary_table
from fairway.tables.comparisons import comparisons, noise_of_delta
from fairway.tables.ladder import ablation_markdown, ablation_table
from fairway.tables.settings import TableSettings

TABLES = ("seeds", "ablation", "ladder", "budget", "statistics", "summary")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    with atomic_output(path) as temporary:
        table.to_csv(temporary, index=False)


def main() -> None:
    options = stage_parser(__doc__, "spec", "results", *TABLES).parse_args()
    spec = read_spec(options.spec, TableSettings)
    settings = spec.settings
    recording = Recording(options.provenance, spec, map(Path, settings["jobs"]))
    require_current(settings["jobs"])
    seeds = seeds_table(options.results, settings)
    write_csv(options.seeds, seeds)
    profiles = {}
    for row in settings["rows"]:
        name, first = row["name"], row["seeds"][0]
        profiles[name] = Profile.load(options.results / "rows" / name / f"seed{first}.profile.npz")
    generator = np.random.default_rng(settings["seeds"][0])
    compared = comparisons(seeds, profiles, settings["references"], generator)
    write_csv(options.statistics, compared)
    summary = summary_table(seeds, settings["limits"], noise_of_delta(compared))
    write_csv(options.ablation, ablation_table(summary))
    write_csv(options.budget, budget_table(seeds, settings["limits"]))
    with atomic_output(options.ladder) as temporary:
        overlap = Manifest.load(options.results / "corpus" / "manifest.json").overlap
        temporary.write_text(ablation_markdown(summary, settings["seeds"], overlap))
    write_csv(options.summary, summary)
    recording.finish(*(getattr(options, table) for table in TABLES))


if __name__ == "__main__":
    run(main)
