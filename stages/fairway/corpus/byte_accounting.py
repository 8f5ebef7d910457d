"""UTF-8 bytes of every target, so that nats can be divided by bytes of text.

The rule is parameter-golf's (`train_gpt.py`, `build_sentencepiece_luts`): a piece counts its
UTF-8 length without its leading "▁", plus 1 if it had one and the token before it is not a
boundary token (control, unknown, unused); a byte piece counts 1, a control piece 0. A further
"▁" inside a piece (runs of spaces) counts 1 like the space it decodes to; the contest's
tokenizer has no such piece. The sum is then the length of the decoded text, which is proven per
document when a corpus is encoded (`given_back.py`).
"""

from dataclasses import dataclass

import numpy as np
from sentencepiece import SentencePieceProcessor

from fairway.corpus.tokenizer import SPACE


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
