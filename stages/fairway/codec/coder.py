"""Tokens as a range coder's words, by the distributions of a predictor, and back.

constriction's range coder (Bamler, arXiv:2201.01741). Encoder and decoder ask and push in the same
order, so any predictor will do that gives the decoder the encoder's floats, bit for bit.
"""

from collections.abc import Callable
from typing import Protocol

import constriction
import numpy as np

Progress = Callable[[int], None]


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
    """`first` and the `targets` tokens that `code` stands for, uint16.

    Raises AssertionError, as constriction does, for code that no text can have.
    """
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(code, "<u4").astype(np.uint32))
    tokens = np.full(targets + 1, first, np.uint16)
    predictor.push(first)
    for target in range(1, targets + 1):
        tokens[target] = decoder.decode(_integers(predictor.distribution()))
        predictor.push(int(tokens[target]))
        progress(1)
    return tokens


def _integers(probabilities: np.ndarray) -> constriction.stream.model.Categorical:
    """24-bit integers in proportion to the probabilities, none of them 0."""
    return constriction.stream.model.Categorical(probabilities, perfect=False, lazy=True)
