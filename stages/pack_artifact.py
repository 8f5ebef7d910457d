"""Pack a quantised model into its artifact and account for every byte.

    ./run results/models/ebls/seed1337/artifact.bin

    python stages/pack_artifact.py --spec results/specs/pack_artifact/ebls.*.json \\
        --quantized results/models/ebls/seed1337/quantized.safetensors \\
        --artifact /tmp/artifact.bin --ledger /tmp/ledger.json

Room is left for code and memory, as much as the settings say; what they take, row by row, is in
the ledgers of pack_row, which refuses what is over the limit. If the model and that room are not
below it, the cheapest int6 weights of ±1 are set to 0, as many as `packing.prune_fraction` allows
(beside a search there are none, and it is 0); if that is not enough, the ledger goes to stderr and
nothing is written.
"""

from fairway.start import run

import argparse
import hashlib
import json
import sys
import time

from fairway.artifact.ledger import ledger
from fairway.artifact.pruning import pack
from fairway.artifact.quantized import QuantizedModel
from fairway.artifact.settings import PackingSettings
from fairway.files.spec import read_spec
from fairway.provenance import Recording
from fairway.stage import StageError, atomic_output, stage_parser, write_json


def arguments() -> argparse.Namespace:
    return stage_parser(__doc__, "spec", "quantized", "artifact", "ledger").parse_args()


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec, PackingSettings)
    recording = Recording(options.provenance, spec, [options.quantized])
    settings, start = spec.settings, time.monotonic()
    limit, room = settings["artifact_bytes"], settings["room_bytes"]
    quantized = QuantizedModel.load(options.quantized)
    packed = pack(
        quantized.stored,
        quantized.diagonals,
        settings["compressor"],
        settings["prune_fraction"],
        limit - room,
    )
    sizes = ledger(packed.stored, packed.artifact, room, limit)
    provenance = {
        "artifact_sha256": hashlib.sha256(packed.artifact).hexdigest(),
        "seed": quantized.provenance["seed"],
        "specs": {
            "train_model": quantized.provenance["train_model"],
            "quantize_model": quantized.provenance["quantize_model"],
            "pack_artifact": spec.sha256,
        },
        "forecast_bytes": settings["forecast"],
        "compressor": settings["compressor"],
        "pruned_weights": packed.fit.pruned,
        "packings": packed.fit.probes,
        "seconds": time.monotonic() - start,
    }
    result = provenance | sizes
    if sizes["headroom_bytes"] <= 0:
        print(json.dumps(result, indent=1), file=sys.stderr)
        raise StageError(
            f"artifact: {sizes['packed_bytes']:,} bytes with {packed.fit.pruned:,} weights "
            f"pruned; expected less than limits.artifact_bytes, {limit:,}, less "
            f"packing.room_bytes, {room:,}"
        )
    with atomic_output(options.artifact) as temporary:
        temporary.write_bytes(packed.artifact)
    write_json(options.ledger, result)
    recording.finish(options.artifact, options.ledger)


if __name__ == "__main__":
    run(main)
