"""What the tokens of a validation text give back: its bytes, and whether it is the original.

A score is nats over bytes. Bytes of what? Of the text that a decoder writes from the tokens, so
that a tokenizer that folds, drops or lengthens anything gains nothing by it. Only if that is the
original byte for byte is a code for the tokens one for the original.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sentencepiece import SentencePieceProcessor

from fairway.corpus.byte_accounting import ByteTable, document_bytes
from fairway.corpus.exact_text import SEPARATOR, ExactText
from fairway.corpus.tokenizer import BATCH_DOCUMENTS, decode_documents
from fairway.stage import StageError


@dataclass(frozen=True)
class GivenBack:
    """The text of tokens, documents with a NUL byte between them.

    target_bytes: uint16 (targets,), which add up to each document; original_bytes: UTF-8 length
    of all documents as they were, None if that is not known; same: whether they are `text`.
    """

    text: bytes
    target_bytes: np.ndarray
    original_bytes: int | None
    same: bool

    def require_claims(self, rows: list[str]) -> None:
        """Raise StageError if rows claim a code length, of a text that is known to be lost."""
        if rows and self.original_bytes is not None and not self.same:
            size = int(self.target_bytes.sum(dtype=np.int64))
            raise StageError(
                f"validation text: its tokens decode to {size:,} bytes that are not the "
                f"{self.original_bytes:,} of the original, while rows claim a code length "
                f"({', '.join(rows)}); expected no claim, or text with corpus.encoding: exact"
            )


def give_back(
    tokenizer: SentencePieceProcessor,
    tokens: np.ndarray,
    starts: np.ndarray,
    originals: list[bytes] | None,
) -> GivenBack:
    """Decode every document and prove its bytes.

    tokens: uint16 (targets + 1,), BOS at `starts`; originals: the documents, if they are known.
    A document's targets must have as many bytes as its text: the original where that comes back,
    else what the codec and SentencePiece's own decoder write.
    Raises StageError naming the first document for which that does not hold.
    """
    table, exact = ByteTable.of(tokenizer), ExactText(tokenizer)
    documents = [exact.decode(part) for part in np.split(tokens, starts[1:])]
    same = documents == originals
    values = table.target_bytes(tokens)
    counted = document_bytes(values, starts)
    _require_lengths(counted, map(len, documents))
    if not same:
        _require_lengths(counted, _decoded_lengths(tokenizer, table, tokens, starts))
    size = None if originals is None else sum(map(len, originals))
    return GivenBack(SEPARATOR.join(documents), values, size, same)


def _require_lengths(counted: np.ndarray, lengths: Iterator[int]) -> None:
    for index, length in enumerate(lengths):
        if length != counted[index]:
            raise StageError(
                f"validation document {index}: its tokens count {counted[index]} bytes but decode "
                f"to {length}; expected equal: this tokenizer needs another byte rule"
            )


def _decoded_lengths(
    tokenizer: SentencePieceProcessor, table: ByteTable, tokens: np.ndarray, starts: np.ndarray
) -> Iterator[int]:
    """Bytes of each document as SentencePiece decodes it.

    A character that the end of the text cuts counts the bytes that are there.
    """
    cut = table.unfinished(tokens)
    ends = np.append(starts[1:], len(tokens) - cut)
    for first in range(0, len(starts), BATCH_DOCUMENTS):
        last = min(first + BATCH_DOCUMENTS, len(starts))
        texts = decode_documents(
            tokenizer, (tokens[starts[i] : ends[i]] for i in range(first, last))
        )
        for index, text in enumerate(texts, start=first):
            yield len(text) + (cut if index == len(starts) - 1 else 0)
