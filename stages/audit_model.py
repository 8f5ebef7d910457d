"""Audit a packed model: its distributions at sampled targets, and whether it sees the future.

    ./run results/models/ebls/seed1337/audit.npz

    python stages/audit_model.py --spec results/specs/audit_model/ebls.*.json \\
        --manifest results/corpus/manifest.json --val results/corpus/val.bin \\
        --artifact results/models/ebls/seed1337/artifact.bin --evidence /tmp/audit.npz

Evidence for the audits of all rows that use the model. Runs the forward pass that scores, on the
device and in the precision of score_targets.
"""

from fairway.start import run

import argparse
from collections.abc import Sequence

import numpy as np

from fairway.artifact.container import build_model, read_artifact
from fairway.audit.checks import changed_tail, scores_stay
from fairway.audit.evidence import ModelEvidence, Sampling, audit_targets
from fairway.corpus.manifest import Manifest
from fairway.corpus.windows import WindowPlan
from fairway.files.spec import read_spec
from fairway.machine.devices import prepare_device
from fairway.provenance import Recording
from fairway.scoring.forward import distributions_at, score_windows
from fairway.scoring.settings import ScoringSettings
from fairway.stage import sha256_of, stage_parser


class AuditedModel(ScoringSettings):
    """What this stage depends on."""

    audit: Sampling


def arguments() -> argparse.Namespace:
    return stage_parser(__doc__, "spec", "manifest", "val", "artifact", "evidence").parse_args()


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec, AuditedModel)
    settings = spec.settings
    read = options.manifest, options.val, options.artifact
    recording = Recording(options.provenance, spec, read)
    device = prepare_device(settings["device"], settings["threads"])
    manifest = Manifest.load(options.manifest)
    tokens = manifest.read_val(options.val)
    plan = WindowPlan(manifest.val.targets, **settings["windows"])
    stored = read_artifact(options.artifact)
    stored.require_corpus(manifest.tokenizer.sha256, manifest.vocabulary, options.artifact)
    model = build_model(stored).to(device)
    batch, precision = settings["batch_windows"], settings["precision"]

    def score(text: np.ndarray, windows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        return score_windows(model, text, plan, windows, batch, precision=precision)

    wanted = audit_targets(settings["audit"], plan.targets)
    sampled = wanted.sampled.tolist()
    distributions = distributions_at(model, tokens, plan, sampled, batch, precision)
    generator = np.random.default_rng(settings["audit"]["seed"])
    stays = []
    for target in wanted.changed.tolist():
        changed = changed_tail(tokens, target, manifest.vocabulary, generator)
        stays.append(scores_stay(plan, score, tokens, changed, target))
    kept, artifact = np.array(stays, dtype=bool), sha256_of(options.artifact)
    ModelEvidence(*wanted, kept, spec.sha256, distributions, artifact).save(options.evidence)
    recording.finish(options.evidence)


if __name__ == "__main__":
    run(main)
