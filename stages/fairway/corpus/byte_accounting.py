"""UTF-8 bytes of every target, so that nats can be divided by bytes of text.

The rule is parameter-golf's (`train_gpt.py`, `build_sentencepiece_luts`): a piece counts its
UTF-8 length without its leading "▁", plus 1 if it had one and the token before it is not a
boundary token (control, unknown, unused); a byte piece counts 1, a control piece 0. A further
"▁" inside a piece (runs of spaces) counts 1 like the space it decodes to; the contest's
tokenizer has no such piece. The sum is then the length of the decoded text, which is proven per
document when a corpus is encoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sentencepiece import SentencePieceProcessor

from fairway.corpus.tokenizer import BATCH_DOCUMENTS, decode_documents
from fairway.stage import StageError

SPACE = "▁"
_LARGEST = int(np.iinfo(np.uint16).max)


@dataclass(frozen=True)
class ByteTable:
    """Per token id, arrays of shape (vocabulary,).

    size: bytes without the leading space; spaced: the piece begins with one; boundary: control,
    unknown or unused; value: the byte of a byte piece, else -1.
    """

    size: np.ndarray
    spaced: np.ndarray
    boundary: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, tokenizer: SentencePieceProcessor) -> "ByteTable":
        """Build the table of a tokenizer."""
        ids = range(tokenizer.get_piece_size())
        boundary = [
            tokenizer.is_control(i) or tokenizer.is_unknown(i) or tokenizer.is_unused(i)
            for i in ids
        ]
        byte = [tokenizer.is_byte(i) for i in ids]
        pieces = [tokenizer.id_to_piece(i) for i in ids]
        plain = [not (edge or single) for edge, single in zip(boundary, byte, strict=True)]
        return cls(
            size=np.array(
                [_plain_size(pieces[i]) if plain[i] else int(byte[i]) for i in ids], np.uint16
            ),
            spaced=np.array([plain[i] and pieces[i].startswith(SPACE) for i in ids]),
            boundary=np.array(boundary),
            value=np.array([int(pieces[i][3:5], 16) if byte[i] else -1 for i in ids]),
        )

    def target_bytes(self, tokens: np.ndarray) -> np.ndarray:
        """Bytes of targets 1…N of a text of N+1 tokens: uint16 (targets,)."""
        target, previous = tokens[1:], tokens[:-1]
        return self.size[target] + (self.spaced[target] & ~self.boundary[previous])

    def unfinished(self, tokens: np.ndarray) -> int:
        """Number of byte pieces at the end that begin a character and do not finish it, 0…3."""
        for count in range(1, min(3, len(tokens)) + 1):
            value = int(self.value[tokens[-count]])
            if value >= 0xC0:
                needed = 2 + (value >= 0xE0) + (value >= 0xF0)
                return count if count < needed else 0
            if value < 0x80:
                break
        return 0


def _plain_size(piece: str) -> int:
    return len(piece.removeprefix(SPACE).replace(SPACE, " ").encode())


def document_bytes(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Bytes of each document, int64 (documents,): the sum over its targets.

    values: bytes per target (targets,); starts: position of each document's BOS.
    """
    per_token = np.insert(values, 0, 0)  # the first BOS is no target
    return np.add.reduceat(per_token, starts, dtype=np.int64)


def prove_bytes(
    tokenizer: SentencePieceProcessor, table: ByteTable, tokens: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """Bytes per target, uint16 (targets,), proven to add up to the decoded text.

    Every document is decoded and its UTF-8 length compared with the sum over its targets. A
    character that the end of the text cuts counts the bytes that are there.
    Raises StageError naming the first document for which that does not hold.
    """
    values = table.target_bytes(tokens)
    counted = document_bytes(values, starts)
    for index, length in enumerate(_decoded_lengths(tokenizer, table, tokens, starts)):
        if length != counted[index]:
            raise StageError(
                f"validation document {index}: its tokens count {counted[index]} bytes but decode "
                f"to {length}; expected equal: this tokenizer needs another byte rule"
            )
    return values


def _decoded_lengths(
    tokenizer: SentencePieceProcessor, table: ByteTable, tokens: np.ndarray, starts: np.ndarray
) -> Iterator[int]:
    cut = table.unfinished(tokens)
    ends = np.append(starts[1:], len(tokens) - cut)
    for first in range(0, len(starts), BATCH_DOCUMENTS):
        last = min(first + BATCH_DOCUMENTS, len(starts))
        texts = decode_documents(
            tokenizer, (tokens[starts[i] : ends[i]] for i in range(first, last))
        )
        for index, text in enumerate(texts, start=first):
            yield len(text) + (cut if index == len(starts) - 1 else 0)


def charge_original_bytes(
    values: np.ndarray, starts: np.ndarray, original: np.ndarray
) -> np.ndarray:
    """Bytes per target, uint16, that add up to each document's original text instead.

    A tokenizer that normalises loses or adds bytes, and which token they belong to is not
    defined. So a document's difference, original - decoded, is put on its last target; what
    that cannot hold (below 0, above 65,535) goes on to the target before it, and so on up to the
    document's own BOS. Sums over documents are exact; within one, only its end is moved.
    values: decoded bytes per target; original: UTF-8 length of each document (documents,).
    """
    charged = values.copy()
    differences = original - document_bytes(values, starts)
    ends = np.append(starts[1:], len(values) + 1)
    for index in np.flatnonzero(differences):
        rest = int(differences[index])
        for token in range(ends[index] - 1, max(starts[index], 1) - 1, -1):
            old = int(charged[token - 1])
            charged[token - 1] = min(max(old + rest, 0), _LARGEST)
            rest -= int(charged[token - 1]) - old
            if rest == 0:
                break
        if rest:
            raise StageError(
                f"validation document {index}: {original[index]} bytes of text; its tokens are "
                f"too few to carry them"
            )
    return charged
