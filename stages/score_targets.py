"""Score one rank's share of the validation text with a packed model.

    ./run results/models/ebls/seed1337/scores/rank0.npz

    python stages/score_targets.py --spec results/specs/score_targets/ebls.*.json \\
        --manifest results/corpus/manifest.json --val results/corpus/val.bin \\
        --artifact results/models/ebls/seed1337/artifact.bin --rank 0 \\
        --scores /tmp/rank0.npz --stats /tmp/rank0.json

All that it knows of the model is the artifact. Writes nll and entropy of every target.
"""

from fairway.start import run

import argparse
import time

from fairway.artifact.container import build_model, read_artifact
from fairway.corpus.manifest import Manifest
from fairway.corpus.windows import WindowPlan
from fairway.files.spec import read_spec
from fairway.machine.devices import prepare_device
from fairway.progress import Progress
from fairway.provenance import Recording
from fairway.scoring.forward import score_windows
from fairway.scoring.scores import Scores
from fairway.scoring.settings import ScoringSettings
from fairway.stage import sha256_of, stage_parser, write_json


def arguments() -> argparse.Namespace:
    parser = stage_parser(__doc__, "spec", "manifest", "val", "artifact", "scores", "stats")
    parser.add_argument("--rank", type=int, required=True)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec, ScoringSettings)
    settings = spec.settings
    read = options.manifest, options.val, options.artifact
    recording = Recording(options.provenance, spec, read)
    device = prepare_device(settings["device"], settings["threads"])  # may wait for a GPU
    start = time.monotonic()
    manifest = Manifest.load(options.manifest)
    tokens = manifest.read_val(options.val)
    plan = WindowPlan(manifest.val.targets, **settings["windows"])
    windows = plan.rank_windows(options.rank, settings["ranks"])
    stored = read_artifact(options.artifact)
    stored.require_corpus(manifest.tokenizer.sha256, manifest.vocabulary, options.artifact)
    model = build_model(stored).to(device)
    loaded = time.monotonic()
    first, last = plan.rank_targets(options.rank, settings["ranks"])
    progress = Progress(last + 1 - first, "targets")
    nll, entropy = score_windows(
        model,
        tokens,
        plan,
        windows,
        settings["batch_windows"],
        progress.update,
        settings["precision"],
        settings["compile"],
    )
    progress.close()
    scores = Scores(first, nll, entropy, sha256_of(options.artifact), spec.sha256)
    scores.save(options.scores)
    seconds = {"load_seconds": loaded - start, "seconds": time.monotonic() - loaded}
    write_json(options.stats, {"spec": spec.sha256, **seconds})
    recording.finish(options.scores, options.stats)


if __name__ == "__main__":
    run(main)
