"""Mix the model's scores with the n-gram counts of a row, for one seed, and watch it being done.

    ./run results/rows/hashed15_adaptive/seed1337.json

    python stages/mix_scores.py --spec results/specs/mix_scores/hashed15_adaptive.*.json \\
        --manifest results/corpus/manifest.json --val results/corpus/val.bin \\
        --val-bytes results/corpus/val_bytes.npy --seed 1337 \\
        --scores results/models/ebls/seed1337/scores/rank?.npz \\
        --counts results/counts/hashed15/rank?.npz \\
        --model-audit results/models/ebls/seed1337/audit.npz \\
        --cache-audit results/counts/hashed15/audit.npz \\
        --sums /tmp/seed1337.json --evidence /tmp/seed1337.npz --profile /tmp/seed1337.profile.npz

Reads the rank shards in order, carries the gate's state from one to the next, and writes the
sums of nats and bytes by rank, and the same by document, stretch of the text and matched order
(the profile: what statistics over documents and the report read). On the way it looks at whole
distributions at the audit's targets, where the gate's state is at hand, and writes what it saw as
evidence for audit_row. A row without a cache takes no --counts and no --cache-audit, one without a
model (the uniform distribution) no --scores and no --model-audit; a cache with a memory takes it
by --memory.
"""

from fairway.start import run

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from fairway.audit.evidence import CacheEvidence, ModelEvidence, Sampling, audit_targets
from fairway.audit.witness import Witness
from fairway.corpus.manifest import Manifest
from fairway.corpus.shards import BOS
from fairway.counting.memories import memory_tokens
from fairway.counting.settings import CacheSettings
from fairway.files.spec import read_spec
from fairway.provenance import Recording
from fairway.rows.gate import row_gate
from fairway.rows.mixing import mix_row, row_mixer
from fairway.rows.profiling import Profiler
from fairway.rows.settings import RowSettings, require_files
from fairway.rows.shards import load_shards
from fairway.stage import stage_parser


class MixedRow(RowSettings):
    """What this stage depends on."""

    audit: Sampling


def arguments() -> argparse.Namespace:
    parser = stage_parser(
        __doc__, "spec", "manifest", "val", "val-bytes", "sums", "evidence", "profile"
    )
    parser.add_argument("--seed", type=int, required=True)
    for flag in ("scores", "counts"):
        parser.add_argument(f"--{flag}", type=Path, nargs="*", default=[], help="rank 0, 1, …")
    for flag in ("model-audit", "cache-audit", "memory"):
        parser.add_argument(f"--{flag}", type=Path, nargs="*", default=[])
    return parser.parse_args()


def witness_of(options: argparse.Namespace, settings: MixedRow, manifest: Manifest) -> Witness:
    """The row's gate, and what the audits of its model and cache found to compare it with."""
    wanted = audit_targets(settings["audit"], manifest.val.targets)
    cache, vocabulary = settings["cache_settings"], manifest.vocabulary
    seen = None
    for path in options.cache_audit:  # one or none
        counted = CacheSettings.from_settings(cache)
        seen = CacheEvidence.load(path, wanted, counted, vocabulary)
    models = [ModelEvidence.load(path, wanted, vocabulary) for path in options.model_audit]
    memory = memory_tokens(options.memory, cache, manifest.tokenizer.sha256, vocabulary)
    return Witness(
        row_gate(settings["gate"], cache, memory),
        models[0] if models else ModelEvidence.uniform(wanted, vocabulary),
        seen,
        np.random.default_rng(settings["audit"]["seed"]),
    )


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec, MixedRow)
    settings = spec.settings
    cache, ranks = settings["cache_settings"], settings["ranks"]
    models = int(settings["model"] is not None)
    wanted = {
        "scores": (options.scores, ranks * models),
        "model-audit": (options.model_audit, models),
        "counts": (options.counts, ranks if cache else 0),
        "cache-audit": (options.cache_audit, 1 if cache else 0),
    }
    require_files(settings["row"], wanted)
    read = (
        *(options.manifest, options.val, options.val_bytes, *options.scores, *options.counts),
        *(*options.model_audit, *options.cache_audit, *options.memory),
    )
    recording = Recording(options.provenance, spec, read)
    manifest = Manifest.load(options.manifest)
    tokens = manifest.read_val(options.val)
    target_bytes = manifest.read_val_bytes(options.val_bytes)
    begin = time.monotonic()
    witness = witness_of(options, settings, manifest)
    counted = CacheSettings.from_settings(cache) if cache else None
    profiler = Profiler(witness, tokens, target_bytes, BOS, counted)
    mixer = row_mixer(profiler, tokens)  # walks over the memory, if there is one
    started = time.monotonic() - begin
    sums = mix_row(
        mixer,
        load_shards(options.scores, options.counts, settings, manifest),
        target_bytes,
        settings["row"],
        options.seed,
        spec.sha256,
    )
    witness.evidence(sums.artifact_sha256, spec.sha256).save(options.evidence)
    profiler.profile(spec.sha256).save(options.profile)
    seconds = round(started + sums.seconds - witness.seconds, 3)
    replace(sums, seconds=seconds).save(options.sums)
    recording.finish(options.sums, options.evidence, options.profile)


if __name__ == "__main__":
    run(main)
