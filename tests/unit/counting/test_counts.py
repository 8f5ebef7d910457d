"""Count files: what is written is read back, damage is named, packing loses nothing."""

import numpy as np
import pytest

from fairway.counting.counts import MatchCounts
from fairway.counting.order_counts import CHUNK_TARGETS, VERSION, OrderCounts, OrderCountsWriter
from fairway.counting.settings import CacheSettings
from fairway.files.arrays import save_arrays
from fairway.stage import StageError

MATCHES = CacheSettings("exact", max_order=15, min_count=3)


def orders_from(min_order, orders):
    """Settings of a cache with so many orders."""
    return CacheSettings("exact", min_order - 1 + orders, min_order, output="orders")


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
    found = MatchCounts.load(tmp_path / "rank0.npz", MATCHES)
    assert (found.first_target, found.targets, found.spec) == (7, 3, "abc")
    for name in ("order", "hits", "total"):
        np.testing.assert_array_equal(getattr(found, name), getattr(counts, name))
        assert getattr(found, name).dtype == getattr(counts, name).dtype


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hits": np.array([0, 4, 4], dtype=np.uint32)}, "more hits"),
        ({"total": np.array([0, 3], dtype=np.uint32)}, r"total is uint32 .2,.; .* being 3"),
        ({"order": np.array([0, 2, 16], dtype=np.uint8)}, "order outside 2 to 15 at target 9"),
        ({"order": np.array([0, 1, 15], dtype=np.uint8)}, "order outside 2 to 15 at target 8"),
        ({"order": np.array([2, 2, 15], dtype=np.uint8)}, "fewer than 3 occurrences at target 7"),
        ({"order": np.array([0, 0, 15], dtype=np.uint8)}, "occurrences without a match"),
        ({"order": np.array([0, 2, 10**12])}, r"order is int64 .3,.; expected uint8"),
        ({"first_target": 0}, "first_target has values from 0 to 0; expected 1"),
    ],
)
def test_impossible_matches_are_refused(tmp_path, changes, message):
    match_counts(**changes).save(tmp_path / "rank0.npz")
    with pytest.raises(StageError, match=rf"rank0\.npz: .*{message}"):
        MatchCounts.load(tmp_path / "rank0.npz", MATCHES)


def random_records(targets, orders, largest, seed):
    """Possible totals, hits and distinct (targets, orders), with orders cut off at the top."""
    random = np.random.default_rng(seed)
    totals = random.integers(1, largest, (targets, orders), endpoint=True)
    totals = np.sort(totals, axis=1)[:, ::-1]
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
    loaded = OrderCounts.load(tmp_path / "rank0.npz", orders_from(min_order, 6))
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
    save_arrays(tmp_path / "rank0.npz", VERSION, **(counts.__dict__ | {"payload": payload}))
    with pytest.raises(StageError, match=r"rank0\.npz: "):
        list(OrderCounts.load(tmp_path / "rank0.npz", orders_from(2, 4)).chunks())


def test_flipped_bytes_in_the_file_are_noticed(tmp_path):
    path = tmp_path / "rank0.npz"
    pack(*random_records(3000, 4, 10, seed=2)).save(path)
    content = bytearray(path.read_bytes())
    place = content.index(b"payload.npy") + 4000
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(StageError, match=r"rank0\.npz: damaged"):
        list(OrderCounts.load(path, orders_from(2, 4)).chunks())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_order": 1}, "min_order has values from 1 to 1; expected 2 to 2"),
        ({"sizes": np.zeros((1, 3), np.uint32)}, r"sizes is uint32 .1, 3.; .* 4 being 4"),
        ({"sizes": np.full((1, 4), 10**12)}, r"sizes is int64 .1, 4.; expected uint32"),
        ({"targets": 10**12}, "expected 1 to 2147483648"),
        ({"targets": 9000}, "1 chunks for 9000 targets"),
        ({"payload": np.zeros(5, np.uint8)}, "payload is "),
        ({"payload": np.zeros(5)}, "payload is "),
    ],
)
def test_orders_of_another_cache_are_refused(tmp_path, changes, message):
    counts = pack(*random_records(3000, 4, 300, seed=1))
    save_arrays(tmp_path / "rank0.npz", VERSION, **(counts.__dict__ | changes))
    with pytest.raises(StageError, match=rf"rank0\.npz: .*{message}"):
        list(OrderCounts.load(tmp_path / "rank0.npz", orders_from(2, 4)).chunks())


@pytest.mark.parametrize("change", ["rising", "hits", "distinct", "nothing distinct"])
def test_impossible_records_are_refused(tmp_path, change):
    totals, hits, distinct, depth = random_records(300, 4, 300, seed=1)
    depth[:], totals[7], hits[7], distinct[7] = 4, 20, 1, 2
    totals[totals == 0] = distinct[distinct == 0] = 1
    distinct = np.minimum(distinct, totals)
    totals = np.sort(totals, axis=1)[:, ::-1].copy()
    distinct, hits = np.minimum(distinct, totals), np.minimum(hits, totals)
    wrong = {"rising": (totals, 21), "hits": (hits, 22), "distinct": (distinct, 23)}
    array, value = wrong.get(change, (distinct, 0))
    pack_values = array[7, 3]
    array[7, 3] = value
    pack(totals, hits, distinct, depth).save(tmp_path / "rank0.npz")
    with pytest.raises(StageError, match=r"rank0\.npz: damaged records in chunk 0"):
        list(OrderCounts.load(tmp_path / "rank0.npz", orders_from(2, 4)).chunks())
    array[7, 3] = pack_values
    pack(totals, hits, distinct, depth).save(tmp_path / "rank0.npz")
    assert list(OrderCounts.load(tmp_path / "rank0.npz", orders_from(2, 4)).chunks())
