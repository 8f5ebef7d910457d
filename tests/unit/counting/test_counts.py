"""Count files: what is written is read back, damage is named, packing loses nothing."""

import numpy as np
import pytest

from fairway.counting.counts import MatchCounts
from fairway.counting.order_counts import CHUNK_TARGETS, OrderCounts, OrderCountsWriter
from fairway.files.arrays import save_arrays
from fairway.stage import StageError


def match_counts(**changes):
    arrays = {
        "first_target": 7,
        "order": np.array([0, 2, 15], dtype=np.uint8),
        "hits": np.array([0, 1, 4], dtype=np.uint32),
        "total": np.array([0, 3, 4], dtype=np.uint32),
        "spec": "abc",
    }
    return MatchCounts(**(arrays | changes))


def test_matches_are_read_back(tmp_path):
    counts = match_counts()
    counts.save(tmp_path / "rank0.npz")
    found = MatchCounts.load(tmp_path / "rank0.npz")
    assert (found.first_target, found.targets, found.spec) == (7, 3, "abc")
    for name in ("order", "hits", "total"):
        np.testing.assert_array_equal(getattr(found, name), getattr(counts, name))
        assert getattr(found, name).dtype == getattr(counts, name).dtype


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hits": np.array([0, 4, 4], dtype=np.uint32)}, "more hits"),
        ({"total": np.array([0, 3], dtype=np.uint32)}, "do not match"),
    ],
)
def test_impossible_matches_are_refused(tmp_path, changes, message):
    match_counts(**changes).save(tmp_path / "rank0.npz")
    with pytest.raises(StageError, match=rf"rank0\.npz: .*{message}"):
        MatchCounts.load(tmp_path / "rank0.npz")


def random_records(targets, orders, largest, seed):
    """Possible totals, hits and distinct (targets, orders), with orders cut off at the top."""
    random = np.random.default_rng(seed)
    totals = random.integers(1, largest, (targets, orders), endpoint=True)
    hits = random.integers(0, totals, endpoint=True)
    others = np.where(hits < totals, random.integers(1, np.maximum(totals - hits, 1) + 1), 0)
    distinct = np.minimum((hits > 0) + others, 65535)
    depth = random.integers(0, orders + 1, targets)
    beyond = np.arange(orders) >= depth[:, None]
    for array in (totals, hits, distinct):
        array[beyond] = 0
    return totals.astype(np.uint32), hits.astype(np.uint32), distinct.astype(np.uint32), depth


def pack(totals, hits, distinct, depth, min_order=2, first_target=1):
    writer = OrderCountsWriter(first_target, len(depth), min_order)
    for column in range(totals.shape[1]):
        orders = np.where(depth > column, min_order + column, 0)
        columns = orders, *(array[:, column] for array in (hits, totals, distinct))
        writer.add(min_order + column, np.stack(columns, axis=1).astype(np.uint32))
    return writer.finish(np.where(depth > 0, min_order - 1 + depth, 0).astype(np.uint8))


def unpack(counts):
    chunks = [(chunk[0], *(array.copy() for array in chunk[1:])) for chunk in counts.chunks()]
    first, *arrays = zip(*chunks, strict=True)
    return first, *(np.concatenate(parts) for parts in arrays)


@pytest.mark.parametrize("largest", [3, 10, 11, 255, 70_000, 2**31 - 1])
@pytest.mark.parametrize("min_order", [1, 5])
def test_counts_of_all_orders_are_read_back_from_memory_and_file(tmp_path, largest, min_order):
    targets = CHUNK_TARGETS + 1234
    records = random_records(targets, 6, largest, seed=largest)
    counts = pack(*records, min_order=min_order, first_target=50)
    counts.save(tmp_path / "rank0.npz")
    loaded = OrderCounts.load(tmp_path / "rank0.npz")
    assert (loaded.first_target, loaded.targets, loaded.min_order) == (50, targets, min_order)
    assert loaded.orders == 6
    for source in (counts, loaded):
        first, *arrays = unpack(source)
        assert first == (50, 50 + CHUNK_TARGETS)
        for array, expected in zip(arrays, records, strict=False):
            np.testing.assert_array_equal(array, expected)


def test_small_counts_take_one_byte_each():
    totals, hits, distinct, depth = random_records(5000, 4, 10, seed=0)
    counts = pack(totals, hits, distinct, depth)
    assert counts.packed_bytes == len(depth) + depth.sum()


@pytest.mark.parametrize("damage", ["short", "long", "depth", "records"])
def test_damaged_payload_is_named(tmp_path, damage):
    counts = pack(*random_records(3000, 4, 300, seed=1))
    payload = counts.payload.copy()
    if damage == "short":
        payload = payload[:-5]
    elif damage == "long":
        payload = np.append(payload, np.uint8(0))
    elif damage == "depth":
        payload[17] = 200
    else:
        payload[3000:] = 255
    save_arrays(tmp_path / "rank0.npz", **(counts.__dict__ | {"payload": payload}))
    with pytest.raises(StageError, match=r"rank0\.npz: "):
        list(OrderCounts.load(tmp_path / "rank0.npz").chunks())


def test_flipped_bytes_in_the_file_are_noticed(tmp_path):
    path = tmp_path / "rank0.npz"
    pack(*random_records(3000, 4, 10, seed=2)).save(path)
    content = bytearray(path.read_bytes())
    place = content.index(b"payload.npy") + 4000
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(StageError, match=r"rank0\.npz: damaged"):
        list(OrderCounts.load(path).chunks())
