"""The size ledger of an artifact: what every byte of code and model is spent on."""

from pathlib import Path
from typing import Any

from fairway.artifact.container import section_sizes
from fairway.artifact.storage import RowIntegers, StoredModel
from fairway.closure import STAGES, canonical_source, import_closure


def code_bytes(script: Path) -> dict[str, int]:
    """UTF-8 bytes of code of every project file that `script` imports, itself included.

    Comments and formatting do not count, as they do not in the hash of the code.
    """
    return {
        file.relative_to(STAGES).as_posix(): len(canonical_source(file).encode())
        for file in import_closure(script)
    }


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


def ledger(
    stored: StoredModel, artifact: bytes, code: dict[str, int], limit: int
) -> dict[str, Any]:
    """Every size, in bytes; it fits if `headroom_bytes`, limit less total, is above 0.

    code: of code_bytes; artifact: the model, packed.
    """
    total = sum(code.values()) + len(artifact)
    return {
        "limit_bytes": limit,
        "total_bytes": total,
        "headroom_bytes": limit - total,
        "code_bytes": sum(code.values()),
        "packed_bytes": len(artifact),
        "sections": section_sizes(artifact),
        "code": code,
        "tensors": tensor_bytes(stored),
    }
