"""SentencePiece BPE with byte fallback: trained, checked, applied, and matched with shards.

Ids as in the FineWeb tokenizer of parameter-golf: pad 0, bos 1, eos 2, unk 3, the 256 bytes
4-259, then pieces. One trained here is lossless: it neither normalises nor drops whitespace, so
decoding gives back the text (U+2581, SentencePiece's own sign for a space, excepted, which
`exact_text.py` writes in bytes).
"""

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from fairway.corpus.shards import BOS
from fairway.progress import Progress
from fairway.stage import StageError, require_file

TRAINING_BYTES = 1 << 25  # of text; more does not change 1,024 pieces by much
BATCH_DOCUMENTS = 512
SPACE, _UNKNOWN = "▁", "\u2585"  # SentencePiece's own signs
_OWN_SIGNS = re.compile(f"[{SPACE}{_UNKNOWN}]+")


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> bytes:
    """Train on the first TRAINING_BYTES of the texts; returns the model file's content.

    The same texts give the same bytes. Raises StageError if the texts are too few or too varied
    for `vocabulary` pieces.
    """
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=_training_texts(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary,
            byte_fallback=True,
            pad_id=0,
            bos_id=BOS,
            eos_id=2,
            unk_id=3,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            # Decoding strips the space this adds, which is why a first ▁ counts no byte.
            add_dummy_prefix=True,
            max_sentence_length=1 << 30,  # longer ones would be left out
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).rpartition("] ")[2].strip() or error
        raise StageError(
            f"corpus.vocabulary: {vocabulary} pieces cannot be trained on this text ({reason})"
        ) from None
    return model.getvalue()


def _training_texts(texts: Iterable[str]) -> Iterator[str]:
    """The texts, cut where SentencePiece's own signs stand, which are in no piece.

    It would leave out a text with its sign for an unknown character, and take that for a space
    for one.
    """
    size = 0
    for text in texts:
        if size >= TRAINING_BYTES:
            return
        size += len(text.encode())
        yield from filter(None, _OWN_SIGNS.split(text))


def load_tokenizer(path: Path, vocabulary: int) -> SentencePieceProcessor:
    """Read a tokenizer.model and check it.

    Raises StageError unless it is a SentencePiece model with `vocabulary` pieces, BOS at id 1,
    a piece for each of the 256 bytes and one for the space.
    """
    tokenizer = SentencePieceProcessor()
    try:
        tokenizer.LoadFromSerializedProto(require_file(path).read_bytes())
    except RuntimeError:
        raise StageError(f"{path}: not a SentencePiece model") from None
    size = tokenizer.get_piece_size()
    if size > 1 << 16:
        raise StageError(f"{path}: {size} pieces; token shards hold ids of 16 bits, 65536 at most")
    if size != vocabulary:
        raise StageError(f"{path}: {size} pieces; expected corpus.vocabulary, {vocabulary}")
    if tokenizer.bos_id() != BOS or not tokenizer.is_control(BOS):
        raise StageError(f"{path}: BOS has id {tokenizer.bos_id()}; expected {BOS}")
    pieces = sum(tokenizer.is_byte(index) for index in range(size))
    if pieces != 256:
        raise StageError(f"{path}: {pieces} byte pieces; expected 256 (byte fallback)")
    if tokenizer.is_unknown(tokenizer.piece_to_id(SPACE)):
        raise StageError(
            f"{path}: no piece {SPACE!r}; expected one: where no longer piece fits, a space would "
            "be written in the three bytes of that sign, and come back as it"
        )
    return tokenizer


def encode_documents(tokenizer: SentencePieceProcessor, texts: list[str]) -> list[np.ndarray]:
    """Tokens of each document, uint16: BOS, then its pieces; no EOS."""
    documents: list[np.ndarray] = []
    progress = Progress(len(texts), "documents encoded")
    for start in range(0, len(texts), BATCH_DOCUMENTS):
        batch = texts[start : start + BATCH_DOCUMENTS]
        encoded = tokenizer.encode(batch, return_type="numpy", add_bos=True, num_threads=1)
        documents.extend(tokens.astype(np.uint16) for tokens in encoded)
        progress.update(len(batch))
    progress.close()
    return documents


def decode_documents(
    tokenizer: SentencePieceProcessor, documents: Iterable[np.ndarray]
) -> list[bytes]:
    """UTF-8 text of each document; BOS decodes to nothing."""
    return tokenizer.decode(
        [document.tolist() for document in documents], return_type=bytes, num_threads=1
    )


def document_starts(tokens: np.ndarray, name: object) -> np.ndarray:
    """Positions of BOS, int64 (documents,). StageError if the text does not begin with one."""
    if tokens[0] != BOS:
        raise StageError(
            f"{name}: begins with token {tokens[0]}; expected BOS ({BOS}), a document's start"
        )
    return np.flatnonzero(tokens == BOS)
