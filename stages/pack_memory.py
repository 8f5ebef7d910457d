"""Pack the last of the training text into a memory, which caches begin with.

    ./run results/memories/training.bin

    python stages/pack_memory.py --spec results/specs/pack_memory/training.*.json \\
        --manifest results/corpus/manifest.json --memory /tmp/training.bin --stats /tmp/stats.json

How much of the text is in the spec: by documents, tokens or bytes of the packed file. It is all
that later stages, and a decoder, know of the training text (fairway/counting/memories.py).
"""

from fairway.start import run

import argparse
import hashlib
import time

import numpy as np

from fairway.corpus.manifest import Manifest
from fairway.corpus.shards import read_shard
from fairway.counting.memories import pack_memory
from fairway.counting.memory_text import last_tokens, pack_within, tokens_of_documents
from fairway.counting.settings import MemorySettings, PackedMemory
from fairway.files.spec import read_spec
from fairway.progress import Progress
from fairway.provenance import Recording
from fairway.stage import StageError, atomic_output, stage_parser, write_json


def arguments() -> argparse.Namespace:
    return stage_parser(__doc__, "spec", "manifest", "memory", "stats").parse_args()


def packed_text(settings: MemorySettings, manifest: Manifest) -> bytes:
    """The memory's file, as large as its budget says."""
    if not manifest.train.tokens:
        raise StageError("the training text is empty; expected at least a token")
    shards = [read_shard(path, manifest.vocabulary) for path in manifest.train_shards()]
    identity = manifest.vocabulary, manifest.tokenizer.sha256

    def pack(tokens: np.ndarray) -> bytes:
        progress = Progress(len(tokens), "tokens packed")
        packed = pack_memory(tokens, *identity, settings.compressor, progress.update)
        progress.close()
        return packed

    if settings.budget == "bytes":
        return pack_within(shards, settings.size, pack)
    tokens = settings.size or manifest.train.tokens
    if settings.budget == "documents":
        tokens = tokens_of_documents(shards, settings.size)
    return pack(last_tokens(shards, tokens))


def main() -> None:
    options, start = arguments(), time.monotonic()
    spec = read_spec(options.spec, PackedMemory)
    recording = Recording(options.provenance, spec, [options.manifest])
    name, limit = spec.settings["memory"], spec.settings["artifact_bytes"]
    settings = MemorySettings.from_settings(spec.settings)
    try:
        packed = packed_text(settings, Manifest.load(options.manifest))
    except StageError as error:
        raise StageError(f"memory {name}: {error}") from None
    if len(packed) >= limit:
        raise StageError(
            f"memory {name}: {len(packed):,} bytes; expected less than limits.artifact_bytes, "
            f"{limit:,}"
        )
    with atomic_output(options.memory) as temporary:
        temporary.write_bytes(packed)
    stats = {
        "spec": spec.sha256,
        "sha256": hashlib.sha256(packed).hexdigest(),
        "bytes": len(packed),
        "seconds": round(time.monotonic() - start, 3),
    }
    write_json(options.stats, stats)
    recording.finish(options.memory, options.stats)


if __name__ == "__main__":
    run(main)
