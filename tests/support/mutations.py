"""Changes of bytes, of JSON values and of arrays, drawn from a generator: what a fuzzer tries."""

import copy
import json
from typing import Any

import numpy as np

NUMBERS = (0, 1, -1, 2, 255, 2**31, 2**32 - 1, 2**63, 10**12, -(2**63), 0.5, -1e308, 1e308)
VALUES = (None, True, False, "", "x" * 300, "\ud800", [], {}, [[]], {"a": 1}, *NUMBERS)
DTYPES = ("u1", "i1", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8", "?", "<U3", ">i4")


def chosen(generator: np.random.Generator, items: Any) -> Any:
    """One of a sequence's items, as it is."""
    return items[int(generator.integers(len(items)))]


def changed_bytes(content: bytes, generator: np.random.Generator) -> bytes:
    """One to three changes: bits, bytes, a cut, an insertion, a piece moved."""
    result = bytearray(content)
    for _ in range(int(generator.integers(1, 4))):
        size = len(result)
        start, stop = sorted(generator.integers(0, size + 1, 2).tolist())
        stop = min(stop, start + int(generator.choice((1, 8, 64, size + 1))))
        kind = generator.integers(6)
        if kind <= 1 and start < size:
            result[start] ^= 1 << int(generator.integers(8))
        elif kind == 2:
            result[start:stop] = generator.bytes(stop - start)
        elif kind == 3:
            del result[start:stop]
        elif kind == 4:
            result[start:start] = generator.bytes(int(generator.integers(1, 40)))
        else:
            place = int(generator.integers(0, size + 1))
            result[place:place] = result[start:stop]
    return bytes(result)


def changed_json(value: Any, generator: np.random.Generator) -> Any:
    """A copy in which some key or item is another value, gone, renamed or there twice."""
    result = copy.deepcopy(value)
    for _ in range(int(generator.integers(1, 3))):
        places = [(holder, key) for holder, key in _places(result)]
        if not places:
            return chosen(generator, VALUES)
        holder, key = chosen(generator, places)
        kind = generator.integers(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[chosen(generator, ("x", "", "__class__", key.upper()))] = holder.pop(key)
        elif kind == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif kind == 3 and isinstance(holder[key], int | float):
            holder[key] = holder[key] * chosen(generator, (-1, 2, 10**6, 0.5)) + 1
        else:
            holder[key] = copy.deepcopy(chosen(generator, VALUES))
    return result


def _places(value: Any):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)


def json_text(value: Any, generator: np.random.Generator) -> str:
    """JSON of a value; now and then with what JSON does not have."""
    text = json.dumps(value, indent=1)
    if generator.integers(8) == 0:
        text = text.replace(chosen(generator, ("1", "0", "null", '"')), "NaN", 1)
    return text


def changed_array(array: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Another type, shape, or other values: extremes, noise, an order that was not there."""
    array = np.array(array)
    kind = generator.integers(7)
    if kind == 0:
        with np.errstate(all="ignore"):
            dtype = chosen(generator, DTYPES)
            return array.astype(dtype) if array.dtype.kind != "U" else np.zeros(3, dtype)
    if kind == 1:
        return array[..., None] if generator.integers(2) else array.ravel()
    if kind == 2 and array.ndim:
        return array[: int(generator.integers(len(array) + 1))]
    if kind == 3 and array.ndim:
        return np.concatenate([array, array])
    if array.dtype.kind == "U":
        return np.array(chosen(generator, ("", "y" * 9, "z" * 5000)))
    flat, count = array.ravel().copy(), int(generator.integers(1, 5))
    if not flat.size:
        return flat
    noise = np.frombuffer(generator.bytes(count * array.dtype.itemsize), array.dtype)
    if kind <= 5:
        flat[generator.integers(0, flat.size, count)] = noise
    else:
        flat[:] = flat[generator.permutation(flat.size)]
    return flat.reshape(array.shape)
