"""Encode the corpus into token shards, with the bytes of every validation target and a manifest.

python stages/encode_corpus.py --spec results/specs/encode_corpus.json \
    --tokenizer results/corpus/tokenizer.model --manifest results/corpus/manifest.json \
    --val results/corpus/val.bin --val-bytes results/corpus/val_bytes.npy \
    --train results/corpus/train.bin --windows results/specs/windows.json

Reads: the spec (settings: the `corpus` section), the tokenizer, and the documents or shards; and
windows and ranks, so that a validation text too short for them is refused before any training.
Writes: val.bin and train.bin (FineWeb format), val_bytes.npy (uint16, bytes of target j at j-1)
and manifest.json, last. With kind `shards`, training shards stay where they are: no train.bin.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sentencepiece import SentencePieceProcessor

from fairway.corpus.byte_accounting import ByteTable, charge_original_bytes, prove_bytes
from fairway.corpus.documents import load_split
from fairway.corpus.given_shards import GivenShards, read_given_shards
from fairway.corpus.manifest import (
    Manifest,
    TokenizerFile,
    TrainText,
    ValText,
    name_in,
    shard_files,
)
from fairway.corpus.shards import write_shard
from fairway.corpus.tokenizer import document_starts, encode_documents, load_tokenizer
from fairway.corpus.windows import require_windows
from fairway.files.arrays import save_array
from fairway.stage import Spec, StageError, read_spec, run, sha256_of


def main() -> None:
    arguments = _arguments()
    spec = read_spec(arguments.spec)
    tokenizer = load_tokenizer(arguments.tokenizer, spec.settings["vocabulary"])
    if spec.settings["kind"] == "shards":
        text = read_given_shards(spec.settings, tokenizer)
    else:
        text = _encode_text(spec, tokenizer, arguments.train)
    starts = document_starts(text.val, "validation text")
    if arguments.windows:
        require_windows(len(text.val) - 1, read_spec(arguments.windows).settings)
    decoded = prove_bytes(tokenizer, ByteTable.of(tokenizer), text.val, starts)
    known = text.original is not None
    charged = charge_original_bytes(decoded, starts, text.original) if known else decoded
    write_shard(arguments.val, text.val)
    save_array(arguments.val_bytes, charged)
    val = ValText(
        documents=len(starts),
        tokens=len(text.val),
        targets=len(charged),
        bytes=int(charged.sum(dtype=np.int64)),
        decoded_bytes=int(decoded.sum(dtype=np.int64)),
        original_bytes=int(text.original.sum()) if known else None,
        bytes_used="original" if known else "decoded",
        file=name_in(arguments.manifest.parent, arguments.val),
        sha256=sha256_of(arguments.val),
        bytes_sha256=sha256_of(arguments.val_bytes),
    )
    manifest = _manifest(arguments, spec, text, val)
    manifest.save(arguments.manifest)
    _report(manifest)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spec", type=Path, required=True, help="settings and code hash")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.model")
    parser.add_argument("--manifest", type=Path, required=True, help="output: manifest.json")
    parser.add_argument("--val", type=Path, required=True, help="output: val.bin")
    parser.add_argument("--val-bytes", type=Path, required=True, help="output: val_bytes.npy")
    parser.add_argument("--train", type=Path, help="output: train.bin; unused by kind shards")
    parser.add_argument("--windows", type=Path, help="windows and ranks that the text must hold")
    return parser.parse_args()


def _encode_text(spec: Spec, tokenizer: SentencePieceProcessor, train_path: Path) -> GivenShards:
    if train_path is None:
        raise StageError(f"--train: missing; corpus.kind {spec.settings['kind']} writes it")
    train_texts, val_texts = load_split(spec.settings)
    tokens = write_shard(train_path, encode_documents(tokenizer, train_texts))
    return GivenShards(
        train=[(train_path, tokens)],
        train_documents=len(train_texts),
        val=np.concatenate(encode_documents(tokenizer, val_texts)),
        original=np.array([len(text.encode()) for text in val_texts]),
    )


def _manifest(
    arguments: argparse.Namespace, spec: Spec, text: GivenShards, val: ValText
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
    )


def _report(manifest: Manifest) -> None:
    train, val = manifest.train, manifest.val
    print(
        f"train: {train.documents:,} documents, {train.tokens:,} tokens; "
        f"val: {val.documents:,} documents, {val.tokens:,} tokens, {val.bytes:,} bytes "
        f"({val.bytes_used}), {val.bytes / val.targets:.3f} bytes per target",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(main)
