"""Audit a cache: what it says of the whole vocabulary at sampled targets, and if it sees ahead.

    ./run results/counts/exact15/audit.npz

    python stages/audit_cache.py --spec results/specs/audit_cache/exact15.*.json \\
        --manifest results/corpus/manifest.json --val results/corpus/val.bin --threads 2 \\
        --counts results/counts/exact15/rank?.npz --evidence /tmp/audit.npz

Evidence for the audits of all rows that use the cache. The text is counted again for every target
that is changed, and compared with the count shards.
"""

from fairway.start import run

import argparse

import numpy as np

from fairway.audit.checks import changed_tail, counts_stay
from fairway.audit.evidence import CacheEvidence, Sampling, audit_targets
from fairway.corpus.manifest import Manifest
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets, distributions_at, tables_stay
from fairway.counting.flags import cache_parser, check_cache_flags
from fairway.counting.memories import memory_tokens
from fairway.counting.settings import CountSettings
from fairway.files.spec import read_spec
from fairway.provenance import Recording
from fairway.rows.gate import load_counts


class AuditedCache(CountSettings):
    """What this stage depends on."""

    audit: Sampling


def arguments() -> argparse.Namespace:
    return cache_parser(__doc__, "evidence").parse_args()


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec, AuditedCache)
    settings, ranks = spec.settings, spec.settings["ranks"]
    check_cache_flags(options, ranks)
    cache = CacheSettings.from_settings(settings["cache_settings"])
    read = options.manifest, options.val, *options.memory, *options.counts
    recording = Recording(options.provenance, spec, read)
    manifest = Manifest.load(options.manifest)
    tokens = manifest.read_val(options.val)
    plan = WindowPlan(manifest.val.targets, **settings["windows"])
    identity = manifest.tokenizer.sha256, manifest.vocabulary
    memory = memory_tokens(options.memory, settings["cache_settings"], *identity)
    wanted = audit_targets(settings["audit"], plan.targets)
    found = distributions_at(
        tokens, plan, wanted.sampled, cache, manifest.vocabulary, ranks, memory=memory
    )
    generator = np.random.default_rng(settings["audit"]["seed"])
    stays = []
    for target in wanted.changed.tolist():
        rank = plan.rank_of(target, ranks)
        first, last = plan.rank_targets(rank, ranks)
        last = min(last, target + plan.length)  # as much of the future as a count could notice
        changed = changed_tail(tokens, target, manifest.vocabulary, generator)
        recounted = count_targets(
            changed, plan, first, last, cache, options.threads, memory=memory
        )
        stored = load_counts(options.counts[rank], cache)
        stays.append(counts_stay(stored, recounted, target))
    kept = tables_stay(tokens, plan, wanted.changed, cache, manifest.vocabulary, ranks, memory)
    CacheEvidence.of(found, wanted, stays, kept, spec.sha256).save(options.evidence)
    recording.finish(options.evidence)


if __name__ == "__main__":
    run(main)
