"""Floats as planes of bytes: all lowest bytes, then all that come next, up to the highest."""

import numpy as np


def planes(values: np.ndarray) -> np.ndarray:
    """The bytes of values of a float type, any shape: uint8 (bytes of a value, values)."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(-1)
    return little.view(np.uint8).reshape(little.size, values.dtype.itemsize).T


def from_planes(found: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The inverse of `planes`: values (values,) of `dtype`."""
    return np.ascontiguousarray(found.T).view(dtype.newbyteorder("<")).reshape(-1)
