"""Whether a tokenizer made a shard."""

import numpy as np
from sentencepiece import SentencePieceProcessor

from fairway.corpus.exact_text import ExactText
from fairway.corpus.shards import BOS
from fairway.corpus.tokenizer import decode_documents
from fairway.stage import StageError

SAMPLE = 64  # documents
SHARE = 0.9  # of them that must encode to the ids they have


def check_belongs(tokenizer: SentencePieceProcessor, tokens: np.ndarray, name: object) -> None:
    """Raise StageError unless `tokens` were made by this tokenizer.

    Any tokenizer decodes any ids to something, so that proves nothing. But the text decoded by
    the right one encodes to the same ids again, plainly or exactly, while with another one a
    whole document hardly ever does. Up to SAMPLE documents, evenly spread, are tried; SHARE of
    them must come back, which allows for texts that normalisation changes twice. What stands
    before the first BOS and, if there are others, the last document are not tried: they may be
    cut.
    """
    starts = np.flatnonzero(tokens == BOS)
    if len(starts) == 0:
        raise StageError(f"{name}: no document; expected BOS (id {BOS}) before each")
    ends = np.append(starts[1:], len(tokens))
    complete = len(starts) - 1 or 1
    chosen = np.unique(np.linspace(0, complete - 1, SAMPLE).astype(int))
    documents = [np.asarray(tokens[starts[index] : ends[index]]) for index in chosen]
    texts = [text.decode(errors="replace") for text in decode_documents(tokenizer, documents)]
    again = tokenizer.encode(texts, return_type="numpy", add_bos=True, num_threads=1)
    exact = ExactText(tokenizer)
    same = sum(
        np.array_equal(old, new)
        or np.array_equal(old[1:], exact.encode_document(exact.decode(old)))
        for old, new in zip(documents, again, strict=True)
    )
    if same < SHARE * len(documents):
        raise StageError(
            f"{name}: {same} of {len(documents)} documents, decoded, encode to the ids they have; "
            f"expected {SHARE:.0%}: the tokenizer does not belong to this shard"
        )
