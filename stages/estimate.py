"""Say what the configuration will cost before it runs: bytes of the artifacts, jobs, hours, disk.

    ./run --configfile config/fineweb.yaml estimate

    python stages/estimate.py --spec results/specs/estimate.*.json \\
        --manifest results/corpus/manifest.json --report results/estimate.md

Reads the spec (settings: the whole configuration) and, if there is one already, the corpus's
manifest for the number of tokens; with --manifest-spec only one that was made under that spec, so
that another configuration's corpus is not taken for this one's. Prints the tables and writes them
as Markdown. Hours and disk take speeds, which a configuration may have (`estimates`); bytes take
nothing. Where one speed is missing bytes alone are printed, and which key it is; no report is
written.
"""

from fairway.start import run

import argparse
from functools import cache
from pathlib import Path
from typing import Any

from fairway.artifact.sizes import model_sizes
from fairway.bundle import bundle
from fairway.codec.ledger import decoder_files
from fairway.corpus.manifest import Manifest
from fairway.files.spec import read_spec
from fairway.stage import StageError, atomic_output
from fairway.submission.script import script
from fairway.workflow.config import checked_config, used
from fairway.workflow.estimation import CorpusSizes, estimate
from fairway.workflow.estimation import as_markdown as cost_table
from fairway.workflow.sizes import as_markdown as size_table
from fairway.workflow.sizes import row_sizes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, help="read if it is there")
    parser.add_argument("--manifest-spec", help="SHA-256 of the spec that it must be of")
    parser.add_argument("--report", type=Path, required=True, help="output: estimate.md")
    arguments = parser.parse_args()
    config = checked_config(read_spec(arguments.spec, dict).settings, arguments.spec)
    corpus = corpus_sizes(config, arguments.manifest, arguments.manifest_spec)
    sizes = row_sizes(config, corpus, code_size)
    size = size_table(sizes, config["limits"]["artifact_bytes"], len(script({})))
    try:
        text = f"{costs(config, corpus)}\n{size}"
    except StageError:  # a speed that is not declared, which bytes do not take
        print(size, end="")
        raise
    with atomic_output(arguments.report) as temporary:
        temporary.write_text(text)
    print(text, end="")


def costs(config: dict[str, Any], corpus: CorpusSizes | None) -> str:
    """Jobs, hours and disk, or why they are not known."""
    if corpus is None or "estimates" not in config:
        return (
            "Hours and disk: no `estimates` in the configuration; config/fineweb.yaml has some.\n"
        )
    vocabulary = config["corpus"]["vocabulary"]
    models = {
        name: model_sizes(config["models"][name], vocabulary) for name in used(config, "model")
    }
    return cost_table(estimate(config, corpus, models), corpus)


@cache
def code_size(network: bool, decodable: bool) -> int:
    """Bytes of the packed code of a row, but for its own settings."""
    return len(bundle(decoder_files(network, decodable), None))


def corpus_sizes(
    config: dict[str, Any], manifest_path: Path | None, spec: str | None
) -> CorpusSizes | None:
    """Tokens as the manifest has them, or as the configuration expects them, or None.

    spec: hash of the spec that the manifest must be made under; None for any.
    """
    if manifest_path and manifest_path.is_file():
        manifest = Manifest.load(manifest_path)
        if spec in (None, manifest.spec):
            return CorpusSizes(manifest.train.tokens, manifest.val.tokens, str(manifest_path))
    if "estimates" not in config:
        return None
    tokens = config["estimates"]["tokens"]
    return CorpusSizes(tokens["train"], tokens["val"], "expected, from `estimates.tokens`")


if __name__ == "__main__":
    run(main)
