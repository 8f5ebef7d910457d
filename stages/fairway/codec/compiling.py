"""Recorded calls of torch as a program of `fairway.kernels.instructions`.

Views of a tensor are places and steps within its memory, so they cost nothing. Constants are
copied to the memory once. A call that there is no instruction for is an error that names it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairway.codec.recording import Call, Recording, storage_of
from fairway.kernels.instructions import BLOCK, COLUMNS, Operation, pack_matrix, padded
from fairway.kernels.lanes import WIDTH
from fairway.stage import StageError

aten = torch.ops.aten
_TWO = {
    aten.add.Tensor: Operation.ADD,
    aten.add.Scalar: Operation.ADD,
    aten.add_.Scalar: Operation.ADD,
    aten.sub.Tensor: Operation.SUBTRACT,
    aten.mul.Tensor: Operation.MULTIPLY,
    aten.div.Tensor: Operation.DIVIDE,
    aten.clamp_min.default: Operation.LARGER,
    aten.leaky_relu.default: Operation.LEAK,
}
_ONE = {
    aten.clone.default: Operation.COPY,
    aten.rsqrt.default: Operation.ROOT,
    aten.tanh.default: Operation.TANH,
}
_OF_WHOLES = {
    aten.mul.Tensor: Operation.TIMES,
    aten.bitwise_xor.Tensor: Operation.XOR,
    aten.remainder.Scalar: Operation.REMAINDER,
    aten.eq.Scalar: Operation.SAME,
    aten.where.self: Operation.CHOOSE,
}
_LOOPS = 3  # that an instruction has


class Attention:
    """Stands for a call of attention to what was kept; arguments: q, k, v, each contiguous."""


@dataclass(frozen=True)
class Program:
    """instructions: uint64 (instructions, COLUMNS); reals, wholes: the memory."""

    instructions: np.ndarray
    reals: np.ndarray
    wholes: np.ndarray


@dataclass(frozen=True)
class Kept:
    """Places of a layer's keys and values in `reals`; see `instructions._attend`.

    heads: of keys; width: of a head; wide: the same, padded; length: of the text, padded.
    """

    keys: int
    values: int
    heads: int
    width: int
    wide: int
    length: int

    def views(self, reals: np.ndarray) -> tuple[Tensor, Tensor]:
        """Keys and values as attention has them, (1, heads, length, width), in the memory."""
        memory = torch.from_numpy(reals)
        keys, values = memory[self.keys :], memory[self.values :]
        keys = keys[: self.heads * self.width * self.length]
        values = values[: self.heads * self.length * self.wide]
        keys = keys.view(1, self.heads, self.width, self.length).transpose(2, 3)
        values = values.view(1, self.heads, self.length, self.wide)
        return keys, values[..., : self.width]


class Compiler:
    """Makes a program of a recording.

    length: most positions that attention keeps. kept: places of keys and values, in the order of
    the calls of attention.
    """

    def __init__(self, recording: Recording, length: int) -> None:
        self.kept: list[Kept] = []
        self._recording, self._length = recording, length  # its tensors' storages are the keys
        self._instructions: list[list[int]] = []
        self._places: dict[tuple, int] = {}
        self._regions: dict[bool, list[np.ndarray]] = {True: [], False: []}  # of reals, of wholes
        self._used = {True: 0, False: 0}
        self._numbers: dict[tuple, Tensor] = {}
        for call in recording.calls:
            self._compile(call)

    def program(self) -> Program:
        """All instructions so far, and the memory they need."""
        rows = np.array(self._instructions, dtype=np.uint64)
        return Program(rows, *(np.concatenate(self._regions[real]) for real in (True, False)))

    def place(self, tensor: Tensor) -> int:
        """Of its first element, in reals or wholes by its type."""
        real, storage = tensor.is_floating_point(), storage_of(tensor)
        if self._changes(tensor):
            size = tensor.untyped_storage().nbytes() // tensor.element_size()
            return self._region(storage, np.zeros(size), real) + tensor.storage_offset()
        key = storage, tensor.storage_offset(), tensor.shape, tensor.stride()
        return self._region(key, tensor.detach().numpy().ravel(), real)

    def copy(self, source: Tensor, target: Tensor) -> None:
        """Add instructions that copy a tensor."""
        if target.is_floating_point():
            self._elementwise(Operation.COPY, target, source)
        else:
            self._with_wholes(Operation.TIMES, target, source, self._operand(1, False))

    def _changes(self, tensor: Tensor) -> bool:
        return storage_of(tensor) in self._recording.changing

    def _region(self, key: Any, content: np.ndarray, real: bool) -> int:
        """Where `content` is; the same key is the same place."""
        if (key, real) not in self._places:
            region = np.zeros(padded(content.size, BLOCK), np.float32 if real else np.int64)
            region[: content.size] = content
            self._places[key, real] = self._used[real]
            self._regions[real].append(region)
            self._used[real] += region.size
        return self._places[key, real]

    def _operand(self, value: float | Tensor, real: bool) -> Tensor:
        """A number as a tensor."""
        if isinstance(value, Tensor):
            return value
        number = torch.tensor(value, dtype=torch.float32 if real else torch.int64)
        return self._numbers.setdefault((value, real), number)

    def _compile(self, call: Call) -> None:
        function, arguments, out = call.function, call.arguments, call.results[0]
        real = out.is_floating_point()
        operands = [
            self._operand(each, real)
            for each in arguments
            if isinstance(each, Tensor | float | int)
        ]
        if function is Attention:
            self._attend(*arguments, out)
        elif function == aten.cat.default:
            self._join(*arguments, out)
        elif not real and function in _OF_WHOLES:
            self._with_wholes(_OF_WHOLES[function], out, *operands)
        elif real and function in _TWO and len(operands) == 2:
            self._elementwise(_TWO[function], out, *operands)
        elif function in _ONE:
            self._elementwise(_ONE[function], out, arguments[0])
        elif function == aten.pow.Tensor_Scalar and arguments[1] == 2:
            self._elementwise(Operation.MULTIPLY, out, arguments[0], arguments[0])
        elif function == aten.lerp.Tensor:
            start, end, weight = arguments
            self._elementwise(Operation.SUBTRACT, out, end, start)
            self._elementwise(Operation.MULTIPLY, out, out, weight)
            self._elementwise(Operation.ADD, out, start, out)
        elif function in (aten.mean.dim, aten.sum.dim_IntList):
            self._sum(*arguments, out, function == aten.mean.dim)
        elif function == aten.embedding.default:
            table, row = arguments
            places = self.place(out), 0, 0, 1, self.place(table), 0, 0, 1, self.place(row)
            self._add(Operation.ROW, 1, 1, table.shape[1], *places)
        elif function == aten.mm.default:
            self._multiply(*arguments, out)
        else:
            raise StageError(f"{function}: there is no instruction for it")

    def _add(self, *numbers: int) -> None:
        self._instructions.append([*numbers, *[0] * (COLUMNS - len(numbers))])

    def _with_wholes(self, operation: Operation, out: Tensor, *operands: Tensor) -> None:
        if any(tensor.numel() != 1 for tensor in (out, *operands)):
            raise StageError(f"{operation.name}: expected single whole numbers")
        *condition, x, y = map(self.place, operands)
        self._add(operation, 1, 1, *(condition or [0]), self.place(out), 0, 0, 0, x, 0, 0, 0, y)

    def _elementwise(self, operation: Operation, out: Tensor, *operands: Tensor) -> None:
        constant = [each if self._changes(each) else each.contiguous() for each in operands]
        sizes, steps = _loops(out.shape, [out, *(each.expand(out.shape) for each in constant)])
        places = [
            [self.place(each), *of] for each, of in zip((out, *operands), steps, strict=True)
        ]
        self._add(operation, *sizes, *chain.from_iterable(places))

    def _sum(self, source: Tensor, dimensions: list[int], keeps: bool, out: Tensor, mean: bool):
        """Of the last dimension, or its mean."""
        if not keeps or [number % source.dim() for number in dimensions] != [source.dim() - 1]:
            raise StageError(f"sum over {dimensions}; expected the last, and kept")
        sizes, steps = _loops(source.shape, [out.expand(source.shape), source])
        self._add(Operation.SUM, *sizes, self.place(out), *steps[0], self.place(source), *steps[1])
        if mean:
            self._elementwise(Operation.DIVIDE, out, out, self._operand(source.shape[-1], True))

    def _join(self, parts: list[Tensor], dimension: int, out: Tensor) -> None:
        start = 0
        for part in parts:
            size = part.shape[dimension]
            if size:
                self.copy(part, out.narrow(dimension, start, size))
            start += size

    def _multiply(self, x: Tensor, matrix: Tensor, out: Tensor) -> None:
        if x.shape[0] != 1 or self._changes(matrix):
            raise StageError("mm: expected one row and a constant matrix")
        key = "packed", storage_of(matrix), matrix.storage_offset(), matrix.shape
        packed = self._region(key, pack_matrix(matrix.t().numpy()).ravel(), True)
        places = self.place(out), 0, 0, 1, self.place(x), 0, x.stride()[1], 0, packed
        self._add(Operation.MATRIX, 1, *matrix.shape, *places)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:
        heads, width, number = k.shape[1], k.shape[3], len(self.kept)
        length, wide = padded(self._length, WIDTH), padded(width, WIDTH)
        keys = self._region(("keys", number), np.zeros(heads * width * length), True)
        values = self._region(("values", number), np.zeros(heads * length * wide), True)
        scratch = self._region("scratch", np.zeros(length), True)
        self.kept.append(Kept(keys, values, heads, width, wide, length))
        sizes = heads, q.shape[1] // heads, width
        places = self.place(out), 0, 0, 0, *map(self.place, (q, k, v)), 0
        self._add(Operation.ATTEND, *sizes, *places, keys, values, length, scratch)


def _loops(shape: Sequence[int], views: Sequence[Tensor]) -> tuple[list[int], list[list[int]]]:
    """Sizes of an instruction's loops over `shape`, and the steps of every view along them.

    Dimensions of one element are left out, and neighbours that are one for all views joined.
    """
    sizes, steps = [1], [[0] for _ in views]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        found = [view.stride()[axis] for view in views]
        if all(before[-1] == step * size for before, step in zip(steps, found, strict=True)):
            sizes[-1] *= size
            steps = [[*of[:-1], step] for of, step in zip(steps, found, strict=True)]
        else:
            sizes.append(size)
            steps = [[*of, step] for of, step in zip(steps, found, strict=True)]
    if sizes[0] == 1 and len(sizes) > 1:
        sizes, steps = sizes[1:], [of[1:] for of in steps]
    missing = _LOOPS - len(sizes)
    if missing < 0:
        raise StageError(f"{list(shape)}: an instruction has {_LOOPS} loops")
    return [1] * missing + sizes, [[0] * missing + of for of in steps]
