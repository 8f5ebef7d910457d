"""How many bits integers take, by counting: their entropy given their contexts."""

import numpy as np

from fairway.artifact.coders.integers import classes, contexts
from fairway.artifact.coders.models import CLASSES, EVEN
from fairway.artifact.coders.references import differences, find_references

_CONTEXTS = 2 * CLASSES - EVEN
_COARSE = 4  # contexts that are one where few integers are counted: half octaves


def integer_bits(integers: np.ndarray, limit: int) -> float:
    """About how many bits int8 (rows, columns) take alone, no row referring to another."""
    rows, columns = classes(integers)
    counts = _counts(integers, rows, columns, limit, _COARSE)
    return _bits(counts) + sum(entropy(np.bincount(part)) for part in (rows, columns))


def section_bits(tensors: list[np.ndarray], limit: int) -> float:
    """Of a section's matrices: entropy under the context model of `ans`, over all of them.

    With the classes and references; distributions are taken for known.
    """
    counts, lines, bits = np.zeros((_CONTEXTS - 1, limit + 1), np.int64), ([], []), 0.0
    for integers in tensors:
        references = find_references(integers)
        if references.any():
            bits += entropy(np.unique(references, return_counts=True)[1])
        coded = differences(integers, references, limit)
        of_lines = classes(coded)
        counts += _counts(coded, *of_lines, limit, 1)
        for found, part in zip(lines, of_lines, strict=True):
            found.append(part)
    sides = [np.bincount(np.concatenate(found)) for found in lines if found]
    return bits + _bits(counts) + sum(map(entropy, sides))


def _counts(
    integers: np.ndarray, rows: np.ndarray, columns: np.ndarray, limit: int, coarse: int
) -> np.ndarray:
    """How often each magnitude is in each context, int64 (contexts, limit + 1)."""
    of_each = (contexts(rows, columns).reshape(-1).astype(np.int64) + coarse - 1) // coarse
    magnitudes = np.abs(integers.astype(np.int16)).reshape(-1)
    joint = np.bincount(of_each * (limit + 1) + magnitudes, minlength=_CONTEXTS * (limit + 1))
    return joint.reshape(_CONTEXTS, limit + 1)[1:]  # context 0 takes nothing


def _bits(counts: np.ndarray) -> float:
    """Entropy of counted magnitudes, and a bit for the sign of each but 0."""
    return entropy(counts) + float(counts[:, 1:].sum())


def entropy(counts: np.ndarray) -> float:
    """Bits of so many symbols (…, symbols), each row by its own frequencies."""
    totals = counts.sum(axis=-1, keepdims=True)
    return float((counts * np.log2(np.maximum(totals, 1) / np.maximum(counts, 1))).sum())
