"""Pack a row's code as it would be shipped, and account for all that its decoder needs.

    ./run results/rows/exact15_bayes_memory/ledger.json

    python stages/pack_row.py --spec results/specs/pack_row/exact15_bayes_memory.*.json \\
        --artifact results/models/ebls/seed{1337,2024,2025}/artifact.bin \\
        --memory results/memories/training.bin \\
        --bundle /tmp/decoders/row.py --ledger /tmp/ledger.json

Network, memory and code: the bundle decodes with them and with nothing else of this project
(fairway/bundle.py, fairway/codec/ledger.py). If the sum of a seed is not below the limit, the
ledger goes to stderr and nothing is written, so that nothing is mixed. A row without a model takes
no --artifact, one without a memory no --memory.
"""

from fairway.start import run

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fairway.codec.ledger import decoder, row_ledger
from fairway.files.records import Within
from fairway.files.spec import Count, Name, Seed, read_spec
from fairway.provenance import Recording
from fairway.rows.settings import RowSettings, require_files
from fairway.stage import StageError, atomic_output, stage_parser, write_json

if TYPE_CHECKING:  # never imported, only named: the code that is packed is code of this stage
    import codec
    import count_ngrams
    import mix_scores
    import score_targets

    PACKED = codec, count_ngrams, mix_scores, score_targets


class PackedRow(RowSettings):
    """What this stage depends on. decodable: whether it is a decoder that is packed."""

    memory: Name | None
    seeds: Annotated[list[Seed], Within(1)]
    decodable: bool
    artifact_bytes: Count


def arguments() -> argparse.Namespace:
    parser = stage_parser(__doc__, "spec", "bundle", "ledger")
    parser.add_argument("--artifact", type=Path, nargs="*", default=[], help="one per seed")
    parser.add_argument("--memory", type=Path, nargs="*", default=[], help="if there is one")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec, PackedRow)
    settings, limit = spec.settings, spec.settings["artifact_bytes"]
    row, cache = settings["row"], settings["cache_settings"]
    seeds = list(map(str, settings["seeds"]))
    wanted = {
        "artifact": (options.artifact, len(seeds) if settings["model"] else 0),
        "memory": (options.memory, 1 if cache and cache["memory"] else 0),
    }
    require_files(row, wanted)
    recording = Recording(options.provenance, spec, [*options.artifact, *options.memory])
    content, files = decoder(settings)
    artifacts = dict(zip(seeds, options.artifact or [None], strict=True))
    memory = next(iter(options.memory), None)
    kind = "decoder" if settings["decodable"] else "scoring"
    ledger = {"spec": spec.sha256, "row": row, "code_counted": kind}
    ledger |= row_ledger(content, files, artifacts, memory, limit)
    if ledger["headroom_bytes"] <= 0:
        print(json.dumps(ledger, indent=1), file=sys.stderr)
        raise StageError(
            f"row {row}: {ledger['total_bytes']:,} bytes ({ledger['memory_bytes']:,} of memory, "
            f"{ledger['bundle_bytes']:,} of code); expected less than limits.artifact_bytes, "
            f"{limit:,}"
        )
    with atomic_output(options.bundle) as temporary:
        temporary.write_bytes(content)
    write_json(options.ledger, ledger)
    recording.finish(options.bundle, options.ledger)


if __name__ == "__main__":
    run(main)
