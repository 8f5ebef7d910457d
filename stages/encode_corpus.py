"""Encode the corpus into token shards, with the bytes of every validation target and a manifest.

    python stages/encode_corpus.py --spec results/specs/encode_corpus.*.json \\
        --tokenizer results/corpus/tokenizer.model --manifest results/corpus/manifest.json \\
        --val results/corpus/val.bin --val-bytes results/corpus/val_bytes.npy \\
        --val-text results/corpus/val_text.bin --train results/corpus/train.bin \\
        --windows results/specs/windows.*.json

Reads: the spec (settings: the `corpus` section), the tokenizer, and the documents or shards; and
windows, ranks and the rows that claim a code length, so that a validation text too short for them,
or one whose tokens do not give it back, is refused before any training.
Writes: val.bin and train.bin (FineWeb format), val_bytes.npy (uint16, bytes of target j at j-1),
val_text.bin (what val.bin gives back, a NUL byte between documents) and manifest.json, last. With
kind `shards`, training shards stay where they are: no train.bin.
"""

from fairway.start import run

import argparse
import sys
from pathlib import Path

import numpy as np
from sentencepiece import SentencePieceProcessor

from fairway.corpus.documents import load_split, source_files
from fairway.corpus.exact_text import encode_exactly
from fairway.corpus.given_back import give_back
from fairway.corpus.given_shards import GivenShards, read_given_shards
from fairway.corpus.manifest import (
    Manifest,
    Overlap,
    TokenizerFile,
    TrainText,
    ValText,
    name_in,
    shard_files,
)
from fairway.corpus.overlap import measure_overlap
from fairway.corpus.settings import CorpusSettings
from fairway.corpus.shards import read_shard, write_shard
from fairway.corpus.tokenizer import document_starts, encode_documents, load_tokenizer
from fairway.corpus.windows import RankedWindows, require_windows
from fairway.files.arrays import save_array
from fairway.files.spec import Spec, read_spec
from fairway.progress import Progress
from fairway.provenance import Recording
from fairway.stage import StageError, atomic_output, sha256_of, stage_parser

# Of a document: whatever SentencePiece would change in byte pieces, or as SentencePiece has it.
ENCODINGS = {"exact": encode_exactly, "plain": encode_documents}


class TriedWindows(RankedWindows):
    """What is tried on the text. claims: names of the rows that claim a code length."""

    claims: list[str]


def main() -> None:
    arguments = _arguments()
    spec = read_spec(arguments.spec, CorpusSettings)
    tried = read_spec(arguments.windows, TriedWindows).settings if arguments.windows else None
    sources = source_files(spec.settings)[0]
    recording = Recording(arguments.provenance, spec, [arguments.tokenizer], sources)
    tokenizer = load_tokenizer(arguments.tokenizer, spec.settings["vocabulary"])
    if spec.settings["kind"] == "shards":
        text = read_given_shards(spec.settings, tokenizer)
    else:
        text = _encode_text(spec, tokenizer, arguments.train)
    starts = document_starts(text.val, "validation text")
    if tried:
        require_windows(len(text.val) - 1, tried)
    given_back = give_back(tokenizer, text.val, starts, text.originals)
    if tried:
        given_back.require_claims(tried["claims"])
    write_shard(arguments.val, text.val)
    save_array(arguments.val_bytes, given_back.target_bytes)
    with atomic_output(arguments.val_text) as temporary:
        temporary.write_bytes(given_back.text)
    val = ValText(
        documents=len(starts),
        tokens=len(text.val),
        targets=len(given_back.target_bytes),
        bytes=int(given_back.target_bytes.sum(dtype=np.int64)),
        original_bytes=given_back.original_bytes,
        text="original" if given_back.same else "decoded",
        text_sha256=sha256_of(arguments.val_text),
        file=name_in(arguments.manifest.parent, arguments.val),
        sha256=sha256_of(arguments.val),
        bytes_sha256=sha256_of(arguments.val_bytes),
    )
    manifest = _manifest(arguments, spec, text, val, _overlap(text, starts))
    manifest.save(arguments.manifest)
    train = [] if spec.settings["kind"] == "shards" else [arguments.train]
    of_val = arguments.val, arguments.val_bytes, arguments.val_text
    recording.finish(arguments.manifest, *of_val, *train)
    _report(manifest)


def _arguments() -> argparse.Namespace:
    parser = stage_parser(__doc__, "spec", "tokenizer", "manifest", "val", "val-bytes", "val-text")
    parser.add_argument("--train", type=Path, help="output: train.bin; unused by kind shards")
    parser.add_argument("--windows", type=Path, help="windows, ranks and claims that it must hold")
    return parser.parse_args()


def _encode_text(spec: Spec, tokenizer: SentencePieceProcessor, train_path: Path) -> GivenShards:
    if train_path is None:
        raise StageError(f"--train: missing; corpus.kind {spec.settings['kind']} writes it")
    train_texts, val_texts = load_split(spec.settings)
    encode = ENCODINGS[spec.settings["encoding"]]
    tokens = write_shard(train_path, encode(tokenizer, train_texts))
    return GivenShards(
        train=[(train_path, tokens)],
        train_documents=len(train_texts),
        val=np.concatenate(encode(tokenizer, val_texts)),
        originals=[text.encode() for text in val_texts],
    )


def _overlap(text: GivenShards, starts: np.ndarray) -> Overlap:
    shards = [read_shard(path) for path, _ in text.train]
    progress = Progress(sum(map(len, shards)), "training tokens compared with the validation text")
    overlap = measure_overlap(text.val, starts, shards, progress.update)
    progress.close()
    return overlap


def _manifest(
    arguments: argparse.Namespace, spec: Spec, text: GivenShards, val: ValText, overlap: Overlap
) -> Manifest:
    """All files of the corpus, which have been written."""
    folder, tokenizer = arguments.manifest.parent, arguments.tokenizer
    return Manifest(
        spec=spec.sha256,
        kind=spec.settings["kind"],
        vocabulary=spec.settings["vocabulary"],
        tokenizer=TokenizerFile(name_in(folder, tokenizer), sha256_of(tokenizer)),
        train=TrainText(
            documents=text.train_documents,
            tokens=sum(tokens for _, tokens in text.train),
            shards=shard_files(folder, text.train),
        ),
        val=val,
        folder=folder,
        overlap=overlap,
    )


def _report(manifest: Manifest) -> None:
    train, val = manifest.train, manifest.val
    print(
        f"train: {train.documents:,} documents, {train.tokens:,} tokens; "
        f"val: {val.documents:,} documents, {val.tokens:,} tokens, {val.bytes:,} bytes "
        f"({val.text} text), {val.bytes / val.targets:.3f} bytes per target",
        file=sys.stderr,
    )
    print(f"val: {manifest.overlap.in_words()}", file=sys.stderr)
    for number in manifest.overlap.duplicate_documents:
        print(f"val: document {number} is a training document as well", file=sys.stderr)
    if val.text_is_lost:
        print(
            f"val: the tokens do not give back the original of {val.original_bytes:,} bytes, so "
            "no score of theirs is a code length of it",
            file=sys.stderr,
        )


if __name__ == "__main__":
    run(main)
