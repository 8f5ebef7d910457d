"""The size ledger of an artifact: what every byte of the model is spent on.

What a row needs with its code and memory is in the row's own ledger (fairway.codec.ledger), and it
is that one which has to fit. Here a number of bytes is set aside for them.
"""

from typing import Any

from fairway.artifact.container import section_sizes
from fairway.artifact.storage import RowIntegers, StoredModel


def tensor_bytes(stored: StoredModel) -> dict[str, dict[str, Any]]:
    """Kind, shape and bytes before packing, an integer counted as a byte, of every tensor."""
    result = {}
    for name, tensor in stored.tensors.items():
        parts = [tensor]
        if isinstance(tensor, RowIntegers):
            parts = [tensor.integers, *tensor.scales()]
        size = sum(part.numel() * part.element_size() for part in parts)
        kind = stored.kinds[name]
        result[name] = {"kind": kind, "shape": list(parts[0].shape), "bytes": size}
    return result


def ledger(stored: StoredModel, artifact: bytes, room: int, limit: int) -> dict[str, Any]:
    """Every size, in bytes; it fits if `headroom_bytes`, limit less total, is above 0.

    artifact: the model, packed; room: set aside for code and memory, counted in the total.
    """
    total = len(artifact) + room
    return {
        "limit_bytes": limit,
        "total_bytes": total,
        "headroom_bytes": limit - total,
        "room_bytes": room,
        "packed_bytes": len(artifact),
        "sections": section_sizes(artifact),
        "tensors": tensor_bytes(stored),
    }
