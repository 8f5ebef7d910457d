"""The text that a scorer is run on: a token shard, a text file, or one that is built in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sentencepiece import SentencePieceProcessor

from fairway.corpus.byte_accounting import ByteTable
from fairway.corpus.docstrings import package_docstrings
from fairway.corpus.exact_text import ExactText
from fairway.corpus.shards import BOS, read_shard
from fairway.corpus.tokenizer import encode_documents, load_tokenizer, train_tokenizer
from fairway.stage import StageError, atomic_output, require_file

BUILT_IN = ("asyncio", "email", "http", "logging", "unittest")  # their docstrings; always there
BUILT_IN_VOCABULARY = 512
FEWEST_TARGETS = 32


@dataclass(frozen=True)
class ScoredText:
    """tokens: int64 (targets + 1,), the first is no target.

    tokenizer: its file, None if there is none. target_bytes: (targets,), known with a tokenizer.
    original_bytes: UTF-8 length of the text they were made from, where it is known.
    """

    name: str
    tokens: np.ndarray
    vocabulary: int
    tokenizer: Path | None = None
    pieces: SentencePieceProcessor | None = None
    target_bytes: np.ndarray | None = None
    original_bytes: int | None = None

    @property
    def targets(self) -> int:
        return len(self.tokens) - 1

    def shown(self, target: int) -> str:
        """The token of a target, in words."""
        token = int(self.tokens[target])
        piece = f" {self.pieces.id_to_piece(token)!r}" if self.pieces else ""
        return f"token {token}{piece}"


def tokenizer_size(path: Path) -> int:
    """How many pieces a tokenizer has; StageError if it is none."""
    pieces = SentencePieceProcessor()
    try:
        pieces.LoadFromSerializedProto(require_file(path).read_bytes())
    except RuntimeError:
        raise StageError(f"{path}: not a SentencePiece model") from None
    return pieces.get_piece_size()


def text_of(
    name: str,
    tokens: np.ndarray,
    vocabulary: int,
    targets: int,
    tokenizer: Path | None = None,
    original_bytes: int | None = None,
) -> ScoredText:
    """The first `targets` targets of some tokens. original_bytes: of all of them.

    Raises StageError if they are too few.
    """
    whole, tokens = len(tokens) - 1, np.asarray(tokens[: targets + 1], dtype=np.int64)
    if len(tokens) <= FEWEST_TARGETS:
        raise StageError(f"{name}: {len(tokens)} tokens; expected more than {FEWEST_TARGETS}")
    if tokenizer is None:
        return ScoredText(name, tokens, vocabulary)
    pieces = load_tokenizer(tokenizer, vocabulary)
    values = ByteTable.of(pieces).target_bytes(tokens)
    if whole > targets:
        original_bytes = None
    return ScoredText(name, tokens, vocabulary, tokenizer, pieces, values, original_bytes)


def shard_text(
    path: Path, tokenizer: Path | None, vocabulary: int | None, targets: int
) -> ScoredText:
    """The start of a token shard.

    vocabulary: without it the tokenizer's; without one the power of two above the largest id.
    """
    if vocabulary is None:
        vocabulary = tokenizer_size(tokenizer) if tokenizer else None
    tokens = read_shard(path, vocabulary)
    if vocabulary is None:
        vocabulary = 1 << int(tokens.max()).bit_length()
    return text_of(str(path), tokens, vocabulary, targets, tokenizer)


def file_text(path: Path, tokenizer: Path, targets: int) -> ScoredText:
    """The start of a file, by a tokenizer; every NUL byte separates two documents."""
    vocabulary = tokenizer_size(tokenizer)
    content = require_file(path).read_bytes()
    tokens = ExactText(load_tokenizer(tokenizer, vocabulary)).encode(content)
    size = len(content) - (int((tokens == BOS).sum()) - 1)  # a separator is no target's byte
    return text_of(str(path), tokens, vocabulary, targets, tokenizer, size)


def built_in_text(folder: Path, vocabulary: int | None, targets: int) -> ScoredText:
    """Docstrings of Python's own library; the tokenizer is trained on them into `folder`."""
    documents = package_docstrings(list(BUILT_IN))
    vocabulary = vocabulary or BUILT_IN_VOCABULARY
    tokenizer = folder / "tokenizer.model"
    with atomic_output(tokenizer) as temporary:
        temporary.write_bytes(train_tokenizer(documents, vocabulary))
    tokens = np.concatenate(encode_documents(load_tokenizer(tokenizer, vocabulary), documents))
    size = sum(len(document.encode()) for document in documents)
    return text_of("built-in text", tokens, vocabulary, targets, tokenizer, size)
