"""Instructions on a memory against numpy."""

import numpy as np
import pytest

from fairway.kernels.instructions import COLUMNS, Operation, pack_matrix, padded, run_program

GENERATOR = np.random.default_rng(5)


def memory(*parts: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Parts behind each other, float32, each padded to 64; and their places."""
    places, cells = [], np.zeros(0, np.float32)
    for part in parts:
        places.append(len(cells))
        cells = np.append(cells, part.ravel().astype(np.float32))
        cells = np.append(cells, np.zeros(padded(len(cells), 64) - len(cells), np.float32))
    return cells, places


def run(cells: np.ndarray, *numbers: int, wholes=None, position: int = 0) -> np.ndarray:
    """One instruction on reals, or on wholes where there are any."""
    program = np.zeros((1, COLUMNS), np.uint64)
    program[0, : len(numbers)] = numbers
    wholes = np.zeros(1, np.int64) if wholes is None else wholes
    run_program(program, cells, wholes, position)
    return cells


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Operation.COPY, lambda a, b: a),
        (Operation.ADD, lambda a, b: a + b),
        (Operation.SUBTRACT, lambda a, b: a - b),
        (Operation.MULTIPLY, lambda a, b: a * b),
        (Operation.DIVIDE, lambda a, b: a / b),
        (Operation.LARGER, np.maximum),
        (Operation.LEAK, lambda a, b: np.where(a > 0, a, a * b)),
        (Operation.ROOT, lambda a, b: 1 / np.sqrt(a)),
        (Operation.TANH, lambda a, b: np.tanh(a)),
    ],
)
def test_element_by_element_along_any_steps(operation, expected) -> None:
    a, b = GENERATOR.uniform(-2, 2, (2, 2, 3, 5)).astype(np.float32)
    a = np.abs(a) if operation is Operation.ROOT else a
    cells, (at_a, at_b, out) = memory(a.transpose(2, 0, 1), b[0, 0, :1], np.zeros((2, 3, 5)))
    sizes, steps = (2, 3, 5), (15, 5, 1)
    run(cells, operation, *sizes, out, *steps, at_a, 3, 1, 6, at_b, 0, 0, 0)
    found = cells[out : out + 30].reshape(2, 3, 5)
    np.testing.assert_allclose(found, expected(a, b[0, 0, 0]), rtol=3e-7)


def test_sum_of_the_inner_elements() -> None:
    a = GENERATOR.random((2, 3, 5))
    cells, (at, out) = memory(a, np.zeros(6))
    run(cells, Operation.SUM, 2, 3, 5, out, 3, 1, 0, at, 15, 5, 1)
    np.testing.assert_allclose(cells[out : out + 6].reshape(2, 3), a.sum(2), rtol=1e-6)


@pytest.mark.parametrize("outputs", [1, 64, 130])
def test_a_row_times_a_matrix(outputs) -> None:
    matrix, x = GENERATOR.normal(size=(outputs, 7)), GENERATOR.normal(size=7)
    cells, (packed, at, out) = memory(pack_matrix(matrix), x, np.zeros(padded(outputs, 64)))
    run(cells, Operation.MATRIX, 1, 7, outputs, out, 0, 0, 1, at, 0, 1, 0, packed)
    np.testing.assert_allclose(cells[out : out + outputs], matrix @ x, atol=1e-5)


@pytest.mark.parametrize(("width", "position"), [(8, 0), (16, 5), (6, 7), (5, 8), (8, 15)])
def test_attention_to_all_so_far_and_to_nothing_beyond(width, position) -> None:
    heads, shared, length, wide = 2, 3, 16, padded(width, 8)
    q = GENERATOR.normal(size=(heads, shared, width))
    keys, values = GENERATOR.normal(size=(2, heads, length, width))
    kept = np.zeros((heads, length, wide))
    kept[..., :width] = values
    parts = q, keys[:, position], values[:, position], np.zeros(q.size + 8)
    cells, places = memory(*parts, keys.transpose(0, 2, 1), kept, np.zeros(length))
    at_q, at_k, at_v, out, at_keys, at_values, scratch = places
    for at, size in ((at_keys, keys.size), (at_values, kept.size)):
        stale = cells[at : at + size].reshape(heads, -1, length if at == at_keys else wide)
        if at == at_keys:
            stale[:, :, position:] = 1e3  # of another window
        else:
            stale[:, position:] = 1e3
    numbers = out, 0, 0, 0, at_q, at_k, at_v, 0, at_keys, at_values, length, scratch
    run(cells, Operation.ATTEND, heads, shared, width, *numbers, position=position)
    scores = np.einsum("hsd,htd->hst", q, keys[:, : position + 1]) / np.sqrt(width)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = np.einsum("hst,htd->hsd", weights, values[:, : position + 1])
    expected /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(cells[out : out + q.size].reshape(q.shape), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Operation.TIMES, -77),
        (Operation.XOR, -7 ^ 11),
        (Operation.REMAINDER, 4),
        (Operation.SAME, 0),
        (Operation.CHOOSE, 11),
    ],
)
def test_whole_numbers(operation, expected) -> None:
    wholes = np.array([0, -7, 11, 0])
    run(np.zeros(1, np.float32), operation, 1, 1, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2, wholes=wholes)
    assert wholes.tolist() == [expected, -7, 11, 0]


def test_a_row_of_a_table() -> None:
    cells, (table, out) = memory(np.arange(12), np.zeros(4))
    run(cells, Operation.ROW, 1, 1, 4, out, 0, 0, 1, table, 0, 0, 1, 0, wholes=np.array([2]))
    assert cells[out : out + 4].tolist() == [8, 9, 10, 11]
