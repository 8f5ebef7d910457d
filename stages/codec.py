"""Compress any file with a packed model, an n-gram cache and a gate, and get it back.

    python stages/codec.py compress --artifact results/models/ebls/seed1337/artifact.bin \\
        --tokenizer results/corpus/tokenizer.model \\
        --row-spec results/specs/mix_scores/exact15_adaptive.*.json README.md /tmp/README.fwtx
    python stages/codec.py decompress --artifact results/models/ebls/seed1337/artifact.bin \\
        --tokenizer results/corpus/tokenizer.model \\
        --row-spec results/specs/mix_scores/exact15_adaptive.*.json /tmp/README.fwtx /tmp/README.md

A row without a model takes no --artifact, one whose cache has a memory takes it by --memory. Any
bytes can be compressed; a NUL byte ends a document (fairway/corpus/exact_text.py). What the file
looks like is in fairway/codec/file.py. Either way takes half a millisecond a token at the default
sizes.
"""

from fairway.start import run

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fairway.codec.file import Codec, read_header
from fairway.codec.prediction import Base, Uniform, require_row
from fairway.corpus.exact_text import ExactText
from fairway.corpus.tokenizer import load_tokenizer
from fairway.counting.memories import memory_of
from fairway.files.spec import read_spec
from fairway.progress import Progress
from fairway.rows.settings import RowOfAnyJob
from fairway.stage import StageError, atomic_output, require_file, sha256_of


def arguments(row_is_known: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("compress", "decompress"))
    parser.add_argument("--artifact", type=Path, help="of the row's model, if it has one")
    parser.add_argument("--memory", type=Path, help="of the row's cache, if it has one")
    parser.add_argument("--tokenizer", type=Path, required=True)
    if not row_is_known:
        parser.add_argument("--row-spec", type=Path, required=True, help="spec of mix_scores")
    parser.add_argument(
        "--any-length", action="store_true", help="decompress also what is long for its size"
    )
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    return parser.parse_args()


def load_codec(
    artifact: Path | None, memory: Path | None, tokenizer: Path, settings: dict[str, Any]
) -> Codec:
    """The codec of a row: its settings, its tokenizer and, if it has them, artifact and memory.

    Raises StageError if they do not belong together.
    """
    require_row(settings)
    if (artifact is None) != (settings["model"] is None):
        raise StageError(f"--artifact: {artifact}; the row's model is {settings['model']}")
    vocabulary = settings["vocabulary"]
    text = ExactText(load_tokenizer(tokenizer, vocabulary))
    identity = sha256_of(tokenizer), vocabulary
    base: Base = Uniform(vocabulary)
    if artifact is not None:
        from fairway.codec.neural import Network  # and torch, which a row without one goes without

        base = Network.load(artifact, *identity)
    memories = [] if memory is None else [memory]
    return Codec(base, text, settings, memory_of(memories, settings["cache_settings"], *identity))


def compress(codec: Codec, tokens: np.ndarray) -> bytes:
    """The file of a text's tokens, with progress."""
    progress = Progress(len(tokens) - 1, "tokens encoded")
    result = codec.compress(tokens, progress.update)
    progress.close()
    return result


def decompress(codec: Codec, content: bytes, name: Path, any_length: bool) -> np.ndarray:
    """The tokens of a file, with progress; `name` is for errors."""
    header, _ = read_header(content, name)
    progress = Progress(header.targets, "tokens decoded")
    tokens = codec.decompress(content, name, progress.update, any_length)
    progress.close()
    return tokens


def main(row: dict[str, Any] | None = None) -> None:
    """row: the row's settings, for a codec that knows them and takes no --row-spec."""
    options = arguments(row is not None)
    if not options.output.parent.is_dir() or options.output.is_dir():
        raise StageError(f"{options.output}: expected a file's name in a folder that is there")
    content = require_file(options.input).read_bytes()
    settings = read_spec(options.row_spec, RowOfAnyJob).settings if row is None else row
    codec = load_codec(options.artifact, options.memory, options.tokenizer, settings)
    if options.verb == "compress":
        result = compress(codec, codec.text.encode(content))
        bits = 8 * len(result) / max(len(content), 1)
        sizes = f"{len(content):,} bytes to {len(result):,}"
        print(f"{sizes}, {bits:.3f} bits per byte", file=sys.stderr)
    else:
        result = codec.text.decode(decompress(codec, content, options.input, options.any_length))
    with atomic_output(options.output) as temporary:
        temporary.write_bytes(result)


def start(row: dict[str, Any] | None = None) -> None:
    """Run `main`, with an error as one line. row: as there, from a bundle."""
    run(lambda: main(row))


if __name__ == "__main__":
    start()
