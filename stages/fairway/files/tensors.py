"""Safetensors files with metadata and a checksum: the same content always gives the same bytes.

A file is as safetensors has it: 8 bytes, the header's length; the header, JSON; the tensors. The
metadata's `sha256` is that of the whole file with 64 zeros in the place of its digits. Values in
the metadata are text; what else they are to be is up to who writes them.
"""

import hashlib
import json
import mmap
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fairway.files.records import View, build
from fairway.stage import LARGEST_JSON, StageError, atomic_output, parse_json, require_file

CHECKSUM = "sha256"
_NO_DIGITS = "0" * 64


@dataclass(frozen=True)
class _Header(View):
    __metadata__: dict[str, str]


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write contiguous tensors and metadata, atomically.

    The library has metadata in the order of a hash map that differs between processes, so the
    header is sorted here; and its own writing hides that a disk is full. Raises StageError if so.
    """
    metadata = dict(sorted((metadata | {CHECKSUM: _NO_DIGITS}).items()))
    content = memoryview(bytearray(save(tensors, metadata)))
    length = int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8 : 8 + length])) | {"__metadata__": metadata}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > length:
        raise RuntimeError(f"{path}: the header grew from {length} to {len(text)} bytes")
    content[8 : 8 + length] = text.ljust(length)
    found = _digits(hashlib.sha256(content).hexdigest())
    place = 8 + text.index(_digits(_NO_DIGITS))
    content[place : place + len(found)] = found
    with atomic_output(path) as temporary:
        temporary.write_bytes(content)


def _digits(digits: str) -> bytes:
    """The checksum as it stands in the header."""
    return f'"{CHECKSUM}":"{digits}"'.encode()


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file's tensors and metadata; StageError, naming it, if missing or damaged."""
    metadata = _checked_metadata(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError, RuntimeError, OSError) as error:
        raise StageError(f"{path}: damaged safetensors file ({error})") from None
    return tensors, metadata


def _checked_metadata(path: Path) -> dict[str, str]:
    """The metadata, without the checksum, of a file whose content has that checksum."""
    with require_file(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LARGEST_JSON:
            raise StageError(f"{path}: damaged safetensors file (a header of {length} bytes)")
        header = file.read(length)
        metadata = build(_Header, parse_json(header, path), path).__metadata__
        found = metadata.pop(CHECKSUM, None)
        if found is None or header.count(_digits(found)) != 1:
            raise StageError(f"{path}: has no {CHECKSUM} in its metadata; make it again")
        before, after = header.split(_digits(found))
        digest = hashlib.sha256(
            length.to_bytes(8, "little") + before + _digits(_NO_DIGITS) + after
        )
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            digest.update(memoryview(content)[8 + length :])
    if digest.hexdigest() != found:
        raise StageError(f"{path}: damaged, its content has another {CHECKSUM}; make it again")
    return metadata
