"""Prove a row's score: compress the start of the validation text to a file, decode it elsewhere.

    ./run results/rows/exact15_adaptive/proof.json

    python stages/prove_row.py --spec results/specs/prove_row/exact15_adaptive.*.json \\
        --manifest results/corpus/manifest.json --val results/corpus/val.bin \\
        --val-bytes results/corpus/val_bytes.npy --val-text results/corpus/val_text.bin \\
        --tokenizer results/corpus/tokenizer.model \\
        --artifact results/models/ebls/seed1337/artifact.bin \\
        --bundle results/decoders/exact15_adaptive.py \\
        --scores results/models/ebls/seed1337/scores/rank?.npz \\
        --counts results/counts/exact15/rank?.npz \\
        --proof /tmp/proof.json --file /tmp/proof.fwtx

A fresh process decodes the file from the row's bundle, with the artifact and the memory, where the
row has them, the tokenizer, and nothing else of this project. Its text must be the validation text
byte for byte, with a NUL byte between documents: the original one as it was read, or, where the
tokens do not give that back, what they decode to; the proof's `text` says which. The file must not
be longer than what mix_scores claims for these targets, but for 0.1 % and 64 bytes. A row with
hashed counts is refused.
"""

from fairway.start import run

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

import codec
from fairway.codec.prediction import require_exact
from fairway.codec.proof import (
    check_decoded,
    claimed_bits,
    overhead_fraction,
    proven_targets,
    proven_text,
)
from fairway.corpus.byte_accounting import ByteTable
from fairway.corpus.manifest import Manifest
from fairway.corpus.windows import WindowPlan
from fairway.counting.segments import NO_MEMORY
from fairway.files.spec import Count, Seed, read_spec
from fairway.provenance import Recording
from fairway.rows.gate import row_gate
from fairway.rows.mixing import in_order, row_mixer
from fairway.rows.settings import RowSettings
from fairway.rows.shards import load_shards
from fairway.stage import StageError, atomic_output, sha256_of, stage_parser, write_json


class ProofSettings(TypedDict):
    """The `proof` section."""

    bytes: Count | Literal["all"]


class ProvenRow(RowSettings):
    """What this stage depends on. seed: whose artifact decodes."""

    seed: Seed
    proof: ProofSettings


def arguments() -> argparse.Namespace:
    parser = stage_parser(
        *(__doc__, "spec", "manifest", "val", "val-bytes", "val-text", "tokenizer", "bundle")
    )
    for flag in ("artifact", "memory"):
        parser.add_argument(f"--{flag}", type=Path, nargs="*", default=[], help="if there is one")
    for flag in ("scores", "counts"):
        parser.add_argument(f"--{flag}", type=Path, nargs="*", default=[], help="rank 0, 1, …")
    parser.add_argument("--proof", type=Path, required=True)
    parser.add_argument("--file", type=Path, required=True)
    return parser.parse_args()


def read_files(options: argparse.Namespace) -> list[Path]:
    """All files that are read beside the spec."""
    of_text = options.manifest, options.val, options.val_bytes, options.val_text
    of_model = options.tokenizer, *options.artifact, *options.memory, *options.scores
    return [*of_text, *of_model, *options.counts, options.bundle]


def decode_elsewhere(options: argparse.Namespace, row: str) -> bytes:
    """What a new process makes of the file, in a folder of its own that has nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "decoded"
        command = [sys.executable, "-I", str(options.bundle.resolve())]
        command += ["decompress", "--any-length"]
        for flag, paths in (
            ("artifact", options.artifact),
            ("memory", options.memory),
            ("tokenizer", [options.tokenizer]),
        ):
            command += [part for path in paths for part in (f"--{flag}", str(path.resolve()))]
        command += [str(options.file.resolve()), str(output)]
        last = "no message"
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as decoder:
            for line in decoder.stderr:  # its progress; at the end, if it failed, why
                print(line, end="", file=sys.stderr, flush=True)
                last = line.strip() or last
        if decoder.returncode:
            raise StageError(f"row {row}: decoder ended with {decoder.returncode}: {last}")
        return output.read_bytes()


def count_proven(
    settings: ProvenRow, tokens: np.ndarray, target_bytes: np.ndarray, table: ByteTable
) -> int:
    """How many targets, from the first, are to be proven."""
    wanted = settings["proof"]["bytes"]
    wanted = math.inf if wanted == "all" else wanted
    targets = proven_targets(tokens, target_bytes, table, wanted)
    cache = settings["cache_settings"]
    if cache is not None and not cache["prefill"]:  # only rank 0's counts start at target 1
        plan = WindowPlan(len(target_bytes), **settings["windows"])
        targets = min(targets, plan.rank_targets(0, settings["ranks"])[1])
    return targets


def main() -> None:
    options, start = arguments(), time.monotonic()
    spec = read_spec(options.spec, ProvenRow)
    settings, row = spec.settings, spec.settings["row"]
    require_exact(settings)
    recording = Recording(options.provenance, spec, read_files(options))
    artifact, memory = (next(iter(paths), None) for paths in (options.artifact, options.memory))
    coder = codec.load_codec(artifact, memory, options.tokenizer, settings)
    manifest = Manifest.load(options.manifest)
    text, tokens = manifest.read_val_text(options.val_text), manifest.read_val(options.val)
    target_bytes = manifest.read_val_bytes(options.val_bytes)
    targets = count_proven(settings, tokens, target_bytes, ByteTable.of(coder.text.tokenizer))
    expected = proven_text(text, tokens[: targets + 1], target_bytes[:targets])
    with atomic_output(options.file) as temporary:
        temporary.write_bytes(codec.compress(coder, tokens[: targets + 1]))
    encoded = time.monotonic()
    decoded = decode_elsewhere(options, row)
    seconds = {"encode": encoded - start, "decode": time.monotonic() - encoded}
    check_decoded(decoded, expected, row)
    memory_tokens = coder.memory.tokens if coder.memory else NO_MEMORY
    gate = row_gate(settings["gate"], settings["cache_settings"], memory_tokens)
    shards = load_shards(options.scores, options.counts, settings, manifest)
    in_turn = in_order(shards, manifest.val.targets)
    claimed = claimed_bits(row_mixer(gate, tokens), in_turn, targets)
    file_bits = 8 * options.file.stat().st_size
    proof = {
        "spec": spec.sha256,
        "row": row,
        "seed": settings["seed"],
        "artifact_sha256": sha256_of(artifact) if artifact else None,
        "memory_sha256": sha256_of(memory) if memory else None,
        "bundle_sha256": sha256_of(options.bundle),
        "text": manifest.val.text,  # what the decoder's bytes are equal to
        "bytes": int(target_bytes[:targets].sum(dtype=np.int64)),
        "targets": targets,
        "file_bits": file_bits,
        "claimed_bits": claimed,
        "overhead_fraction": overhead_fraction(file_bits, claimed, row),
        "decoded": True,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }
    write_json(options.proof, proof)
    recording.finish(options.proof, options.file)


if __name__ == "__main__":
    run(main)
