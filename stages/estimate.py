"""Say what the configuration will cost before it runs: jobs, GPU-hours, CPU-hours and disk.

    ./run --configfile config/fineweb.yaml estimate

    python stages/estimate.py --spec results/specs/estimate.*.json \\
        --manifest results/corpus/manifest.json --report results/estimate.md

Reads the spec (settings: the whole configuration) and, if there is one already, the corpus's
manifest for the number of tokens. Prints the table and writes it as Markdown.
"""

import argparse
from pathlib import Path
from typing import Any

from fairway.artifact.sizes import model_sizes
from fairway.corpus.manifest import Manifest
from fairway.stage import StageError, atomic_output, read_spec, run
from fairway.workflow.config import used
from fairway.workflow.estimation import CorpusSizes, as_markdown, estimate


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, help="read if it is there")
    parser.add_argument("--report", type=Path, required=True, help="output: estimate.md")
    arguments = parser.parse_args()
    config = read_spec(arguments.spec).settings
    if "estimates" not in config:
        raise StageError("config key `estimates`: missing; config/fineweb.yaml shows what it says")
    corpus = corpus_sizes(config, arguments.manifest)
    vocabulary = config["corpus"]["vocabulary"]
    models = {
        name: model_sizes(config["models"][name], vocabulary) for name in used(config, "model")
    }
    table = as_markdown(estimate(config, corpus, models), corpus)
    with atomic_output(arguments.report) as temporary:
        temporary.write_text(table)
    print(table, end="")


def corpus_sizes(config: dict[str, Any], manifest_path: Path | None) -> CorpusSizes:
    """Tokens as the manifest has them, or as the configuration expects them."""
    if manifest_path and manifest_path.is_file():
        manifest = Manifest.load(manifest_path)
        return CorpusSizes(manifest.train.tokens, manifest.val.tokens, str(manifest_path))
    tokens = config["estimates"]["tokens"]
    return CorpusSizes(tokens["train"], tokens["val"], "expected, from `estimates.tokens`")


if __name__ == "__main__":
    run(main)
