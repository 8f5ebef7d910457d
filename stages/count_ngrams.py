"""Count the n-grams of the validation text with one cache, for every rank.

    ./run results/counts/hashed15/rank0.npz

    python stages/count_ngrams.py --spec results/specs/count_ngrams/hashed15.*.json \\
        --manifest results/corpus/manifest.json --val results/corpus/val.bin --threads 2 \\
        --counts /tmp/rank0.npz /tmp/rank1.npz /tmp/rank2.npz /tmp/rank3.npz \\
        /tmp/rank4.npz /tmp/rank5.npz /tmp/rank6.npz /tmp/rank7.npz --stats /tmp/stats.json

One job writes the shards of all ranks: with prefill they are slices of one pass over the text,
so counting it again for each rank would be work done twice. No model is needed. A cache that
begins with a memory takes it by --memory.
"""

from fairway.start import run

import argparse
import resource
import time
from dataclasses import replace

from fairway.corpus.manifest import Manifest
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_ranks
from fairway.counting.flags import cache_parser, check_cache_flags
from fairway.counting.memories import memory_tokens
from fairway.counting.settings import CountSettings
from fairway.files.spec import read_spec
from fairway.progress import Progress
from fairway.provenance import Recording
from fairway.stage import write_json


def arguments() -> argparse.Namespace:
    return cache_parser(__doc__, "stats").parse_args()


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec, CountSettings)
    cache, ranks = spec.settings["cache_settings"], spec.settings["ranks"]
    settings = CacheSettings.from_settings(cache)
    check_cache_flags(options, ranks)
    read = options.manifest, options.val, *options.memory
    recording = Recording(options.provenance, spec, read)
    manifest = Manifest.load(options.manifest)
    tokens = manifest.read_val(options.val)
    plan = WindowPlan(manifest.val.targets, **spec.settings["windows"])
    start = time.monotonic()
    identity = manifest.tokenizer.sha256, manifest.vocabulary
    memory = memory_tokens(options.memory, cache, *identity)
    progress = Progress((len(memory) + plan.targets) * settings.orders, "look-ups")
    shards = count_ranks(tokens, plan, ranks, settings, options.threads, progress.update, memory)
    for path, counts in zip(options.counts, shards, strict=True):
        replace(counts, spec=spec.sha256).save(path)
    progress.close()
    stats = {
        "spec": spec.sha256,
        "seconds": time.monotonic() - start,
        "targets": plan.targets,
        "orders": settings.orders,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    write_json(options.stats, stats)
    recording.finish(*options.counts, options.stats)


if __name__ == "__main__":
    run(main)
