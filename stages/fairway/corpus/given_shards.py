"""Corpus kind `shards`: token shards that exist already, and the tokenizer that made them.

Keys, in `config.yaml` under `corpus`: `train_shards` and `val_shards`, lists of files or glob
patterns; `tokenizer`, its model file; `val_documents`, optionally, a .jsonl (.xz, .zst) or a
pattern of several with the original text of the validation documents, which is then compared with
what the tokens give back.
Training shards are used where they lie; validation shards are joined into one.
"""

import filecmp
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sentencepiece import SentencePieceProcessor

from fairway.corpus.belonging import check_belongs
from fairway.corpus.documents import (
    check_count,
    expand_paths,
    read_documents,
    required,
)
from fairway.corpus.exact_text import ExactText
from fairway.corpus.shards import BOS, read_shard
from fairway.corpus.tokenizer import document_starts, encode_documents
from fairway.progress import Progress
from fairway.stage import StageError


@dataclass(frozen=True)
class GivenShards:
    """Checked shards: training files with their tokens, the validation tokens, and sizes.

    originals: the validation documents in UTF-8, None if they are not known.
    """

    train: list[tuple[Path, int]]
    train_documents: int
    val: np.ndarray
    originals: list[bytes] | None


def read_given_shards(settings: dict[str, Any], tokenizer: SentencePieceProcessor) -> GivenShards:
    """Read and check everything a `shards` corpus names.

    Raises StageError for a damaged shard, an id not below the vocabulary, a tokenizer that does
    not belong to a shard, a file or its copy on both sides, too few documents, or texts that are
    not those of the validation tokens.
    """
    train_files = expand_paths("corpus.train_shards", required(settings, "train_shards"))
    val_files = expand_paths("corpus.val_shards", required(settings, "val_shards"))
    for file in val_files:
        same = [other for other in train_files if filecmp.cmp(file, other, shallow=False)]
        if same:
            raise StageError(
                f"{file}: in corpus.train_shards and corpus.val_shards both, as {same[0]}"
            )
    val_parts = [_checked_shard(file, settings, tokenizer)[0] for file in val_files]
    val = np.concatenate(val_parts)
    starts = document_starts(val, val_files[0])
    train, train_documents = [], 0
    progress = Progress(len(train_files), "training shards checked")
    for file in train_files:
        tokens, documents = _checked_shard(file, settings, tokenizer)
        train.append((file, len(tokens)))
        train_documents += documents
        progress.update(1)
    progress.close()
    check_count(train_documents + len(starts), settings["minimum_documents"])
    return GivenShards(train, train_documents, val, _originals(settings, tokenizer, val, starts))


def _checked_shard(
    file: Path, settings: dict[str, Any], tokenizer: SentencePieceProcessor
) -> tuple[np.ndarray, int]:
    tokens = read_shard(file, settings["vocabulary"])
    check_belongs(tokenizer, tokens, file)
    return tokens, int(np.count_nonzero(tokens == BOS))


def _originals(
    settings: dict[str, Any],
    tokenizer: SentencePieceProcessor,
    val: np.ndarray,
    starts: np.ndarray,
) -> list[bytes] | None:
    """The given documents, each of which gives its tokens or is given back by them."""
    named = settings.get("val_documents")
    if not named:
        return None
    files = expand_paths("corpus.val_documents", [named])
    texts = [text for file in files for text in read_documents(file)]
    if len(texts) != len(starts):
        raise StageError(f"{named}: {len(texts)} documents; corpus.val_shards have {len(starts)}")
    exact = ExactText(tokenizer)
    ends = np.append(starts[1:], len(val))
    for index, plain in enumerate(encode_documents(tokenizer, texts)):
        tokens = val[starts[index] : ends[index]]
        if not np.array_equal(plain, tokens) and exact.decode(tokens) != texts[index].encode():
            raise StageError(
                f"{named}: document {index} does not encode to its tokens in corpus.val_shards"
            )
    return [text.encode() for text in texts]
