"""A sequence of small dense operations on one memory, run by one compiled function.

A program is a list of instructions. So its operations cost nanoseconds of overhead each, and
nothing is compiled for a new program. All of an operation's numbers are places and steps within
a memory:

    reals    float32, weights and activations
    wholes   int64, what chooses rows

An instruction is a row of 16: its operation; how many (rows, columns, inner) elements; then of
the result and of two operands the first element's place and the steps along each of the three.
Every sum is taken in one order, whatever the processor, but for the functions of its library.
"""

import math
from enum import IntEnum

import numpy as np

from fairway.kernels.compiled import borrowing, compiled
from fairway.kernels.lane_memory import load, store
from fairway.kernels.lanes import (
    WIDTH,
    exponential,
    larger,
    largest_lane,
    multiply_add,
    same,
    sum_of_lanes,
)

COLUMNS = 16
BLOCK = 8 * WIDTH  # outputs of a matrix whose weights stand together
LOWEST = np.float32(-80.0)  # of what the exponential of attention takes; e^-80 counts as nothing


class Operation(IntEnum):
    """What an instruction does; a and b are its operands, each element by element but where said.

    SUM: of a's inner elements. ROW: the row of the table at `a` that the whole number at `b`
    numbers. MATRIX: a times the packed matrix at `b` (see `pack_matrix`). ATTEND: see `_attend`.
    Those from TIMES on are of single whole numbers; CHOOSE: a or b, by whether its inner is 0.
    """

    COPY = 0
    ADD = 1
    SUBTRACT = 2
    MULTIPLY = 3
    DIVIDE = 4
    LARGER = 5
    LEAK = 6  # a, or a·b where that is below 0
    ROOT = 7  # 1/√a
    TANH = 8
    SUM = 9
    ROW = 10
    MATRIX = 11
    ATTEND = 12
    TIMES = 13
    XOR = 14
    REMAINDER = 15
    SAME = 16  # 1 if equal, or else 0
    CHOOSE = 17


_COPY, _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _LARGER, _LEAK, _ROOT, _TANH = map(int, range(9))
_SUM, _ROW, _MATRIX, _ATTEND, _TIMES, _XOR, _REMAINDER, _SAME, _CHOOSE = map(int, range(9, 18))


def padded(count: int, to: int) -> int:
    """The least multiple of `to` that is not below `count`."""
    return -(-count // to) * to


def pack_matrix(matrix: np.ndarray) -> np.ndarray:
    """(outputs, inputs) → float32 (blocks, inputs, BLOCK), outputs padded with zeros."""
    outputs, inputs = matrix.shape
    rows = np.zeros((padded(outputs, BLOCK), inputs), dtype=np.float32)
    rows[:outputs] = matrix
    return np.ascontiguousarray(rows.reshape(-1, BLOCK, inputs).transpose(0, 2, 1))


@borrowing
def _elementwise(reals, step):
    operation, rows, columns, inner = step[0], step[1], step[2], step[3]
    to, a, b = step[7], step[11], step[15]
    for row in range(rows):
        for column in range(columns):
            out = step[4] + row * step[5] + column * step[6]
            x = step[8] + row * step[9] + column * step[10]
            y = step[12] + row * step[13] + column * step[14]
            if operation == _COPY:
                for k in range(inner):
                    reals[out + k * to] = reals[x + k * a]
            elif operation == _ADD:
                for k in range(inner):
                    reals[out + k * to] = reals[x + k * a] + reals[y + k * b]
            elif operation == _SUBTRACT:
                for k in range(inner):
                    reals[out + k * to] = reals[x + k * a] - reals[y + k * b]
            elif operation == _MULTIPLY:
                for k in range(inner):
                    reals[out + k * to] = reals[x + k * a] * reals[y + k * b]
            elif operation == _DIVIDE:
                for k in range(inner):
                    reals[out + k * to] = reals[x + k * a] / reals[y + k * b]
            elif operation == _LARGER:
                for k in range(inner):
                    reals[out + k * to] = max(reals[x + k * a], reals[y + k * b])
            elif operation == _LEAK:
                for k in range(inner):
                    value = reals[x + k * a]
                    reals[out + k * to] = value if value > 0 else value * reals[y + k * b]
            elif operation == _ROOT:
                for k in range(inner):
                    reals[out + k * to] = np.float32(1) / np.sqrt(reals[x + k * a])
            elif operation == _TANH:
                for k in range(inner):
                    reals[out + k * to] = math.tanh(reals[x + k * a])
            elif operation == _SUM:
                total = np.float32(0)
                for k in range(inner):
                    total += reals[x + k * a]
                reals[out] = total


@borrowing
def _multiply_matrix(reals, step):
    inputs, outputs = step[2], step[3]
    for first in range(np.uint64(0), outputs, np.uint64(BLOCK)):
        place = step[12] + first * inputs
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = same(0.0)
        for k in range(inputs):
            x = same(reals[step[8] + k * step[10]])
            s0 = multiply_add(x, load(reals, place), s0)
            s1 = multiply_add(x, load(reals, place + np.uint64(WIDTH)), s1)
            s2 = multiply_add(x, load(reals, place + np.uint64(2 * WIDTH)), s2)
            s3 = multiply_add(x, load(reals, place + np.uint64(3 * WIDTH)), s3)
            s4 = multiply_add(x, load(reals, place + np.uint64(4 * WIDTH)), s4)
            s5 = multiply_add(x, load(reals, place + np.uint64(5 * WIDTH)), s5)
            s6 = multiply_add(x, load(reals, place + np.uint64(6 * WIDTH)), s6)
            s7 = multiply_add(x, load(reals, place + np.uint64(7 * WIDTH)), s7)
            place += np.uint64(BLOCK)
        out = step[4] + first
        store(reals, out, s0)
        store(reals, out + np.uint64(WIDTH), s1)
        store(reals, out + np.uint64(2 * WIDTH), s2)
        store(reals, out + np.uint64(3 * WIDTH), s3)
        store(reals, out + np.uint64(4 * WIDTH), s4)
        store(reals, out + np.uint64(5 * WIDTH), s5)
        store(reals, out + np.uint64(6 * WIDTH), s6)
        store(reals, out + np.uint64(7 * WIDTH), s7)


@borrowing
def _attend(reals, step, position):
    """One position's softmax attention to all so far; its key and value are kept first.

    rows: key/value heads; columns: heads that share one; inner: of a head. Places, all heads
    together: result, query, key, value; then the kept keys (rows, inner, length), the kept values
    (rows, length, inner made a multiple of WIDTH), length, a multiple of WIDTH, and scratch for
    as many.
    """
    rows, columns, inner = step[1], step[2], step[3]
    out, query, key, value = step[4], step[8], step[9], step[10]
    keys, values, length, scratch = step[12], step[13], step[14], step[15]
    eight, count = np.uint64(WIDTH), position + np.uint64(1)
    wide = (inner + eight - np.uint64(1)) // eight * eight
    beyond = (count + eight - np.uint64(1)) // eight * eight
    scale, lowest = same(1.0 / math.sqrt(inner)), same(LOWEST)
    for row in range(rows):
        own_keys, own_values = keys + row * inner * length, values + row * length * wide
        for k in range(inner):
            reals[own_keys + k * length + position] = reals[key + row * inner + k]
            reals[own_values + position * wide + k] = reals[value + row * inner + k]
        for column in range(columns):
            head = (row * columns + column) * inner
            for at in range(np.uint64(0), beyond, eight):
                score = same(0.0)
                for k in range(inner):
                    score = multiply_add(
                        same(reals[query + head + k]),
                        load(reals, own_keys + k * length + at),
                        score,
                    )
                store(reals, scratch + at, score * scale)
            for at in range(count, beyond):
                reals[scratch + at] = reals[scratch]
            top = load(reals, scratch)
            for at in range(eight, beyond, eight):
                top = larger(top, load(reals, scratch + at))
            top, total = same(largest_lane(top)), same(0.0)
            for at in range(np.uint64(0), beyond, eight):
                weight = exponential(larger(load(reals, scratch + at) - top, lowest))
                store(reals, scratch + at, weight)
            for at in range(count, beyond):
                reals[scratch + at] = 0.0
            for at in range(np.uint64(0), beyond, eight):
                total = total + load(reals, scratch + at)
            total = same(sum_of_lanes(total))
            for k in range(np.uint64(0), wide, eight):
                even = odd = same(0.0)
                for at in range(np.uint64(0), beyond, np.uint64(2)):
                    place = own_values + at * wide + k
                    even = multiply_add(same(reals[scratch + at]), load(reals, place), even)
                    weight = same(reals[scratch + at + np.uint64(1)])
                    odd = multiply_add(weight, load(reals, place + wide), odd)
                store(reals, out + head + k, (even + odd) / total)


@borrowing
def _with_wholes(wholes, step):
    operation, x, y = step[0], wholes[step[8]], wholes[step[12]]
    if operation == _TIMES:
        result = x * y
    elif operation == _XOR:
        result = x ^ y
    elif operation == _REMAINDER:
        result = x % y
    elif operation == _SAME:
        result = np.int64(x == y)
    else:
        result = x if wholes[step[3]] else y
    wholes[step[4]] = result


@compiled
def run_program(program, reals, wholes, position):
    """Run all instructions, uint64 (instructions, COLUMNS); position: how many ATTEND saw before.

    reals: float32, wholes: int64, both C arrays; no place is checked.
    """
    for number in range(program.shape[0]):
        step = program[number]
        operation = step[0]
        if operation < _ROW:
            _elementwise(reals, step)
        elif operation == _ROW:
            inner = step[3]
            place = step[8] + np.uint64(wholes[step[12]]) * inner
            for k in range(inner):
                reals[step[4] + k] = reals[place + k]
        elif operation == _MATRIX:
            _multiply_matrix(reals, step)
        elif operation == _ATTEND:
            _attend(reals, step, np.uint64(position))
        else:
            _with_wholes(wholes, step)
