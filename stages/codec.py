"""Compress any file with a packed model, an n-gram cache and a gate, and get it back.

    python stages/codec.py compress --artifact results/models/ebls/seed1337/artifact.bin \\
        --tokenizer results/corpus/tokenizer.model \\
        --row-spec results/specs/mix_scores/exact15_adaptive.json README.md /tmp/README.fwtx
    python stages/codec.py decompress --artifact results/models/ebls/seed1337/artifact.bin \\
        --tokenizer results/corpus/tokenizer.model \\
        --row-spec results/specs/mix_scores/exact15_adaptive.json /tmp/README.fwtx /tmp/README.md

Any bytes can be compressed; a NUL byte ends a document (fairway/corpus/exact_text.py). What the
file looks like is in fairway/codec/file.py. A few milliseconds a token, either way.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from fairway.codec.file import Codec, load_codec, read_header
from fairway.stage import Progress, StageError, atomic_output, read_spec, require_file, run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("compress", "decompress"))
    parser.add_argument("--artifact", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--row-spec", type=Path, required=True, help="spec of mix_scores")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    return parser.parse_args()


def compress(codec: Codec, tokens: np.ndarray) -> bytes:
    """The file of a text's tokens, with progress."""
    progress = Progress(len(tokens) - 1, "tokens encoded")
    result = codec.compress(tokens, progress.update)
    progress.close()
    return result


def decompress(codec: Codec, content: bytes, name: Path) -> np.ndarray:
    """The tokens of a file, with progress; `name` is for errors."""
    header, _ = read_header(content, name)
    progress = Progress(header.targets, "tokens decoded")
    tokens = codec.decompress(content, name, progress.update)
    progress.close()
    return tokens


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)  # the same sums on both sides
    if not options.output.parent.is_dir() or options.output.is_dir():
        raise StageError(f"{options.output}: expected a file's name in a folder that is there")
    content = require_file(options.input).read_bytes()
    codec = load_codec(options.artifact, options.tokenizer, read_spec(options.row_spec).settings)
    if options.verb == "compress":
        result = compress(codec, codec.text.encode(content))
        bits = 8 * len(result) / max(len(content), 1)
        sizes = f"{len(content):,} bytes to {len(result):,}"
        print(f"{sizes}, {bits:.3f} bits per byte", file=sys.stderr)
    else:
        result = codec.text.decode(decompress(codec, content, options.input))
    with atomic_output(options.output) as temporary:
        temporary.write_bytes(result)


if __name__ == "__main__":
    run(main)
