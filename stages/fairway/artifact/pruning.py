"""Make a packed model smaller by setting its cheapest int6 weights of ±1 to 0.

For models with clip percentiles or clips at deviations, as the record's. A search rounds all
integers to int8 and has no use for it: fewer bits per weight are the better way to fewer bytes.

Setting a weight ±scale to 0 adds scale² · h to its layer's expected squared output error, h being
its column's entry on the diagonal of the Hessian. The cheapest are set first, over all layers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from fairway.artifact.coders.named import Coder, CoderName, coder
from fairway.artifact.container import encode
from fairway.artifact.kinds import INT6
from fairway.artifact.storage import StoredModel

MAX_PROBES = 10


class PruningOrder:
    """A model's int6 weights of ±1, cheapest first.

    diagonals: of the Hessian of each int6 tensor, (columns,). `weights`: all int6 weights,
    `candidates`: those of ±1.
    """

    def __init__(self, stored: StoredModel, diagonals: dict[str, Tensor]) -> None:
        self._stored = stored
        self._names = [name for name, kind in stored.kinds.items() if kind == INT6]
        places, costs, self._starts, self.weights = [], [], [], 0
        for name in self._names:
            tensor = stored.tensors[name]
            integers = tensor.integers.numpy()
            rows, columns = np.nonzero(np.abs(integers) == 1)
            scale = tensor.scale.numpy().astype(np.float32)
            costs.append(scale[rows] ** 2 * diagonals[name].numpy()[columns])
            places.append(self.weights + rows * integers.shape[1] + columns)
            self._starts.append(self.weights)
            self.weights += integers.size
        none = np.zeros(0, np.int64)
        order = np.argsort(np.concatenate([none.astype(np.float32), *costs]), kind="stable")
        self._cheapest = np.concatenate([none, *places])[order]

    @property
    def candidates(self) -> int:
        return len(self._cheapest)

    def pruned(self, count: int) -> StoredModel:
        """The model with its `count` cheapest weights of ±1 set to 0."""
        chosen = np.sort(self._cheapest[:count])
        tensors = dict(self._stored.tensors)
        for name, start in zip(self._names, self._starts, strict=True):
            tensor = tensors[name]
            stop = start + tensor.integers.numel()
            first, last = np.searchsorted(chosen, (start, stop))
            integers = tensor.integers.flatten().clone()
            integers[torch.from_numpy(chosen[first:last] - start)] = 0
            tensors[name] = replace(tensor, integers=integers.view(tensor.integers.shape))
        return replace(self._stored, tensors=tensors)


@dataclass(frozen=True)
class Fit:
    """What it took to fit: weights set to 0, packed bytes then, and times the model was packed.

    If even the most did not fit, these are of the most.
    """

    pruned: int
    packed_bytes: int
    probes: int


def fit(packed_bytes: Callable[[int], int], most: int, limit: int) -> Fit:
    """The fewest weights, 0 to `most`, with which packed_bytes(weights) < limit, nearly.

    The bracket between too few and enough is cut where a straight line through its ends meets
    the limit (size falls almost linearly), a little on the side of enough, until it is narrower
    than most/200 or the size is within 0.02 % of the limit. At most MAX_PROBES packings; five or
    six in practice, and one if it fits at once.
    """
    size = packed_bytes(0)
    if size < limit or most == 0:
        return Fit(0, size, 1)
    few, size_few = 0, size
    enough, size_enough = most, packed_bytes(most)
    probes = 2
    while size_enough < limit and probes < MAX_PROBES:
        if enough - few <= most / 200 or limit - size_enough <= limit / 5000:
            break
        share = (size_few - limit) / (size_few - size_enough)
        width = enough - few
        middle = few + min(max(int(share * width + width / 50), 1), width - 1)
        size = packed_bytes(middle)
        probes += 1
        if size < limit:
            enough, size_enough = middle, size
        else:
            few, size_few = middle, size
    return Fit(enough, size_enough, probes)


class _OncePacked:
    """A coder that packs the sections that pruning leaves alone once."""

    def __init__(self, packer: Coder) -> None:
        self.sizes, self.unpack = packer.sizes, packer.unpack
        self._packer, self._packed = packer, {}

    def pack(self, kind: str, tensors: list[np.ndarray]) -> tuple[int, bytes]:
        """As of the coder itself, for one model and what pruning makes of it."""
        if kind == INT6:
            return self._packer.pack(kind, tensors)
        if kind not in self._packed:
            self._packed[kind] = self._packer.pack(kind, tensors)
        return self._packed[kind]


@dataclass(frozen=True)
class Packed:
    """The model as packed, its artifact, and what it took to fit."""

    stored: StoredModel
    artifact: bytes
    fit: Fit


def pack(
    stored: StoredModel,
    diagonals: dict[str, Tensor],
    name: CoderName,
    prune_fraction: float,
    limit: int,
) -> Packed:
    """Pack with the coder `name`, pruned if that is what it takes to stay below `limit`.

    At most prune_fraction of the int6 weights are set to 0. The result may still be too large.
    """
    order = PruningOrder(stored, diagonals)
    most = min(order.candidates, int(prune_fraction * order.weights))
    packer = _OncePacked(coder(name))
    artifact = cache(lambda count: encode(order.pruned(count), name, packer))  # fit's are few
    found = fit(lambda count: len(artifact(count)), most, limit)
    return Packed(order.pruned(found.pruned), artifact(found.pruned), found)
