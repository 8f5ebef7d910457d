"""Any bytes to token ids and back, byte for byte, with any SentencePiece tokenizer.

Documents are separated by one NUL byte, and each becomes BOS and its pieces. So a file without a
NUL is one document, and splitting and joining undo each other for every file.

Pieces decode by themselves here, since SentencePiece puts U+FFFD for bytes that are not UTF-8: a
byte piece is its byte, a piece's "▁" are spaces, and a space that begins a document's first piece
is dropped. Whatever the tokenizer would change (▁ itself, bytes that are not UTF-8, characters
that it normalises) is written in byte pieces, so nothing is refused; it only costs more bits.
"""

import re

import numpy as np
from sentencepiece import SentencePieceProcessor

from fairway.corpus.byte_accounting import ByteTable
from fairway.corpus.shards import BOS
from fairway.corpus.tokenizer import SPACE, encode_documents

SEPARATOR = b"\0"
_STAND_INS = range(0xF8FF, 0xE000 - 1, -1)  # private-use characters, which no tokenizer knows
_SPACES = re.compile(r"^\s+|(?<=\s)\s+|\s+$")  # what tokenizers that normalise drop


class ExactText:
    """The exact translation between bytes and the ids of a tokenizer with 256 byte pieces."""

    def __init__(self, tokenizer: SentencePieceProcessor) -> None:
        self.tokenizer = tokenizer
        table = ByteTable.of(tokenizer)
        self.spaced = table.spaced
        self.pieces = [
            _piece_bytes(tokenizer.id_to_piece(index), int(value), bool(edge))
            for index, (value, edge) in enumerate(zip(table.value, table.boundary, strict=True))
        ]
        self.byte_ids = np.argsort(np.where(table.value < 0, 256, table.value), kind="stable")
        self.byte_ids = self.byte_ids[:256].astype(np.uint16)
        self._exact: dict[str, bool] = {}

    def encode(self, text: bytes) -> np.ndarray:
        """Token ids, uint16, that decode to `text`: BOS and pieces of every document."""
        parts = [np.empty(0, dtype=np.uint16)]
        for document in text.split(SEPARATOR):
            parts += [np.array([BOS], np.uint16), self.encode_document(document)]
        return np.concatenate(parts)

    def decode(self, tokens: np.ndarray) -> bytes:
        """The bytes of tokens that begin with BOS."""
        parts = []
        previous = None
        for token in tokens.tolist():
            if token == BOS:
                parts.append(b"" if previous is None else SEPARATOR)
            else:
                drop = previous == BOS and self.spaced[token]
                parts.append(self.pieces[token][1:] if drop else self.pieces[token])
            previous = token
        return b"".join(parts)

    def encode_document(self, document: bytes) -> np.ndarray:
        """Ids, uint16, of one document without its BOS."""
        for attempt in (self._plain, self._with_stand_ins):
            ids = attempt(document)
            if ids is not None and self.decode(np.insert(ids, 0, BOS)) == document:
                return ids
        return self._in_bytes(document)

    def _in_bytes(self, document: bytes) -> np.ndarray:
        return self.byte_ids[np.frombuffer(document, np.uint8)]

    def _plain(self, document: bytes) -> np.ndarray | None:
        return self.tokenizer.encode(document, return_type="numpy").astype(np.uint16)

    def _with_stand_ins(self, document: bytes) -> np.ndarray | None:
        """Pieces of the document with a stand-in, replaced by byte pieces, for all that changes.

        The stand-in is a character that the tokenizer itself writes in byte pieces.
        """
        text = document.decode(errors="surrogateescape")  # a byte that is not UTF-8: one surrogate
        stand_in = next((chr(code) for code in _STAND_INS if chr(code) not in text), None)
        if stand_in is None:
            return None
        changed = {character for character in set(text) if not self._survives(character)}
        spaces = {place for match in _SPACES.finditer(text) for place in range(*match.span())}
        spaces = set() if self._survives("  ") else spaces
        if text.startswith(" ") and not self._survives(" ", before=""):
            spaces.add(0)
        places = [i for i, letter in enumerate(text) if letter in changed or i in spaces]
        letters = list(text)
        for place in places:
            letters[place] = stand_in
        mark = self._in_bytes(stand_in.encode()).tolist()
        ids = self._plain("".join(letters).encode()).tolist()
        result, rest, at = [], iter(places), 0
        while at < len(ids):
            if ids[at : at + len(mark)] == mark:
                original = text[next(rest)].encode(errors="surrogateescape")
                result += self._in_bytes(original).tolist()
                at += len(mark)
            else:
                result.append(ids[at])
                at += 1
        return np.array(result, np.uint16)

    def _survives(self, characters: str, before: str = "a") -> bool:
        """Whether encoding and decoding leave these characters as they are, between letters."""
        text = f"{before}{characters}b"
        if text not in self._exact:
            content = text.encode(errors="surrogateescape")
            decoded = self.decode(np.insert(self._plain(content), 0, BOS))
            self._exact[text] = decoded == content
        return self._exact[text]


def encode_exactly(tokenizer: SentencePieceProcessor, texts: list[str]) -> list[np.ndarray]:
    """Tokens of each document, uint16, from BOS on, that decode to its very bytes.

    They are SentencePiece's own wherever those do.
    """
    exact = ExactText(tokenizer)
    documents = encode_documents(tokenizer, texts)
    for index, text in enumerate(texts):
        original = text.encode()
        if exact.decode(documents[index]) != original:
            documents[index] = np.insert(exact.encode_document(original), 0, BOS)
    return documents


def _piece_bytes(piece: str, value: int, boundary: bool) -> bytes:
    if value >= 0:
        return bytes([value])
    return b"" if boundary else piece.replace(SPACE, " ").encode()
