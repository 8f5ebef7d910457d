"""Pruning to fit, and the size ledger."""

import numpy as np
import pytest
import torch

from fairway.artifact import pruning
from fairway.artifact.container import encode
from fairway.artifact.ledger import ledger, tensor_bytes
from fairway.artifact.pruning import MAX_PROBES, PruningOrder, fit, pack
from fairway.artifact.storage import RowIntegers, StoredModel
from support.tiny_models import tiny_quantized


def two_matrices() -> tuple[StoredModel, dict[str, torch.Tensor]]:
    a = torch.tensor([[1, -1, 5], [0, 1, -1]], dtype=torch.int8)
    b = torch.tensor([[-1, 2]], dtype=torch.int8)
    tensors = {
        "a": RowIntegers(a, torch.tensor([2.0, 1.0]).half()),
        "b": RowIntegers(b, torch.tensor([0.5]).half()),
        "e": RowIntegers(torch.ones(1, 2, dtype=torch.int8), torch.ones(1).half()),
    }
    diagonals = {"a": torch.tensor([1.0, 5.0, 0.5]), "b": torch.tensor([10.0, 0.0])}
    kinds = {"a": "int6", "b": "int6", "e": "int8"}
    return StoredModel({}, "", kinds, tensors), diagonals


def test_cheapest_first_by_scale_squared_times_diagonal():
    order = PruningOrder(*two_matrices())
    assert (order.weights, order.candidates) == (8, 5)
    # costs: a[1,2] 0.5; b[0,0] 2.5; a[0,0] 4; a[1,1] 5; a[0,1] 20; embeddings are never pruned
    gone = [("a", 1, 2), ("b", 0, 0), ("a", 0, 0), ("a", 1, 1), ("a", 0, 1)]
    before = two_matrices()[0].tensors
    for count in range(6):
        found = order.pruned(count).tensors
        changed = {
            (name, *place)
            for name in before
            for place in np.argwhere(
                (before[name].integers != found[name].integers).numpy()
            ).tolist()
        }
        assert changed == set(gone[:count])
        assert all(int(found[name].integers[row, column]) == 0 for name, row, column in changed)
    assert torch.equal(order.pruned(0).tensors["a"].integers, before["a"].integers)


def test_equal_costs_go_in_the_order_of_the_weights():
    tensor = RowIntegers(torch.ones(1, 100, dtype=torch.int8), torch.ones(1).half())
    stored = StoredModel({}, "", {"a": "int6"}, {"a": tensor})
    found = PruningOrder(stored, {"a": torch.ones(100)}).pruned(40).tensors["a"].integers
    assert found[0].tolist() == [0] * 40 + [1] * 60


def bent(count: int) -> int:
    """Packed bytes that fall with the count, not on a line, and with a little noise."""
    return 1_000_000 - int(30 * count**0.8) + (count * 7919) % 11


@pytest.mark.parametrize("limit", [999_990, 999_000, 980_000, 953_000, 952_500])
def test_fit_finds_nearly_the_fewest_with_few_packings(limit):
    most, calls = 10_000, []

    def packed_bytes(count: int) -> int:
        calls.append(count)
        return bent(count)

    found = fit(packed_bytes, most, limit)
    fewest = next(count for count in range(most + 1) if bent(count) < limit)
    assert found.packed_bytes == bent(found.pruned) < limit
    near = found.pruned - fewest <= most / 50 or limit - found.packed_bytes <= limit / 5000
    assert near and found.pruned <= most
    assert found.probes == len(calls) <= MAX_PROBES


def test_fit_packs_once_when_there_is_room_and_gives_up_after_the_most():
    assert fit(bent, 10_000, 2_000_000).probes == 1
    assert fit(bent, 10_000, 2_000_000).pruned == 0
    over = fit(bent, 10_000, 10)
    assert (over.pruned, over.packed_bytes, over.probes) == (10_000, bent(10_000), 2)
    assert fit(bent, 0, 10).packed_bytes == bent(0)


def test_pack_prunes_only_as_much_as_it_must():
    model = tiny_quantized()
    free = pack(model.stored, model.diagonals, "lzma", 0.02, 10**6)
    assert free.fit.pruned == 0
    assert free.artifact == encode(model.stored, "lzma")
    limit = len(free.artifact) - 20
    tight = pack(model.stored, model.diagonals, "lzma", 0.02, limit)
    assert 0 < tight.fit.pruned <= 0.02 * PruningOrder(model.stored, model.diagonals).weights
    assert len(tight.artifact) == tight.fit.packed_bytes < limit
    changed = sum(
        int((tight.stored.tensors[name].integers != tensor.integers).sum())
        for name, tensor in model.stored.tensors.items()
        if isinstance(tensor, RowIntegers)
    )
    assert changed == tight.fit.pruned
    over = pack(model.stored, model.diagonals, "lzma", 0.02, 1000)
    assert len(over.artifact) > 1000
    assert over.fit.pruned == int(0.02 * PruningOrder(model.stored, model.diagonals).weights)


def test_nothing_is_packed_twice(monkeypatch):
    """As many packings as the ledger says: at the record's size each takes seconds."""
    model, calls = tiny_quantized(), []

    def counted(*given):
        calls.append(given)
        return encode(*given)

    monkeypatch.setattr(pruning, "encode", counted)
    free = pack(model.stored, model.diagonals, "lzma", 0.02, 10**6)
    assert len(calls) == free.fit.probes == 1
    tight = pack(model.stored, model.diagonals, "lzma", 0.02, len(free.artifact) - 20)
    assert len(calls) == 1 + tight.fit.probes > 2


def test_ledger_adds_up():
    stored = tiny_quantized().stored
    artifact = encode(stored, "lzma")
    sizes = ledger(stored, artifact, 123, 50_000)
    assert sizes["room_bytes"] == 123 and sizes["packed_bytes"] == len(artifact)
    assert sizes["total_bytes"] == 123 + len(artifact)
    assert sizes["headroom_bytes"] == 50_000 - 123 - len(artifact)
    assert tensor_bytes(stored)["blocks.0.q.weight"] == {
        "kind": "int6", "shape": [32, 32], "bytes": 32 * 32 + 2 * 32,
    }  # fmt: skip
    assert (
        tensor_bytes(stored)["skip_weights"]["bytes"] == 4 * stored.tensors["skip_weights"].numel()
    )
