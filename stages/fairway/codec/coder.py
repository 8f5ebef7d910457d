"""Tokens as a range coder's words, by the distributions of a predictor, and back.

constriction's range coder (Bamler, arXiv:2201.01741). Encoder and decoder ask and push in the same
order, so any predictor will do that gives the decoder the encoder's floats, bit for bit.
"""

from array import array
from collections.abc import Callable
from typing import Protocol

import constriction
import numpy as np

Progress = Callable[[int], None]


class CodeError(Exception):
    """Words that are not the code of a text by the predictor."""


class Predictor(Protocol):
    """Push the text's first token, then ask and push in turn."""

    def distribution(self) -> np.ndarray:
        """p of the next token, (vocabulary,)."""

    def push(self, token: int) -> None:
        """Take the next token."""


def no_progress(targets: int) -> None:
    """Progress that nobody looks at."""


def encode_tokens(
    predictor: Predictor, tokens: np.ndarray, progress: Progress = no_progress
) -> bytes:
    """The code of all tokens but the first: little-endian words of 32 bits."""
    encoder = constriction.stream.queue.RangeEncoder()
    predictor.push(int(tokens[0]))
    for token in tokens[1:].tolist():
        encoder.encode(token, _integers(predictor.distribution()))
        predictor.push(token)
        progress(1)
    return encoder.get_compressed().astype("<u4").tobytes()


def decode_tokens(
    predictor: Predictor, code: bytes, first: int, targets: int, progress: Progress = no_progress
) -> np.ndarray:
    """`first` and the `targets` tokens that `code`, whole words, stands for, uint16.

    The tokens are encoded again on the way: what they give must be the code, so no other code
    stands for the same text, and work and memory end with the code, whatever `targets` says.
    Raises CodeError for code that no text can have.
    """
    words = np.frombuffer(code, "<u4").astype(np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(words)
    encoder = constriction.stream.queue.RangeEncoder()
    tokens = array("H", [first])
    predictor.push(first)
    for _ in range(targets):
        distribution = _integers(predictor.distribution())
        try:
            token = int(decoder.decode(distribution))
        except AssertionError:  # what constriction raises
            raise CodeError("its words stand for no token") from None
        encoder.encode(token, distribution)
        if encoder.num_words() > len(words):
            raise CodeError(f"it ends at target {len(tokens)} of {targets}")
        tokens.append(token)
        predictor.push(token)
        progress(1)
    if not np.array_equal(encoder.get_compressed(), words):
        raise CodeError("its words are not those that its text has")
    return np.array(tokens, np.uint16)


def _integers(probabilities: np.ndarray) -> constriction.stream.model.Categorical:
    """24-bit integers in proportion to the probabilities, none of them 0."""
    return constriction.stream.model.Categorical(probabilities, perfect=False, lazy=True)
