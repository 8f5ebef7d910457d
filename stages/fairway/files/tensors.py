"""Safetensors files with metadata: the same content always gives the same bytes."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fairway.stage import StageError, atomic_output, require_file


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write contiguous tensors and metadata, atomically.

    The library has metadata in the order of a hash map that differs between processes, so the
    header is sorted here; and its own writing hides that a disk is full. Raises StageError if so.
    """
    content = memoryview(save(tensors, metadata))
    length = int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8 : 8 + length]))
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > length:
        raise RuntimeError(f"{path}: the header grew from {length} to {len(text)} bytes")
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        file.write(content[:8])
        file.write(text.ljust(length))
        file.write(content[8 + length :])


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file's tensors and metadata; StageError, naming it, if missing or damaged."""
    try:
        with safe_open(require_file(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (SafetensorError, ValueError, OSError) as error:
        raise StageError(f"{path}: damaged safetensors file ({error})") from None
