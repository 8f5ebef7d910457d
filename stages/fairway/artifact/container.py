"""The artifact: a packed model in one file, and all that scoring knows of the model.

    8 bytes    magic, with the format's version
    32 bytes   SHA-256 of everything else; in version 1, of what is behind it
    4 bytes    length of the header, little-endian
    header     JSON: compressor, and [name, raw bytes, packed bytes] of every section
    sections   each packed on its own

What the sections hold is said in fairway.artifact.sections, how it is packed in
fairway.artifact.coders; section `index` of an `ans` artifact is by LZMA. The bytes are a function
of the tensors alone: no times, no hashes of settings.

Artifacts come from other people: nothing is allocated or decompressed beyond what the file has
declared and can hold, and everything that could make a model another one is refused.
"""

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path

from fairway.artifact.coders.models import PRESENT, VERSIONS
from fairway.artifact.coders.named import Coder, CoderName, coder
from fairway.artifact.sections import (
    SECTIONS,
    Index,
    check_sizes,
    join,
    read_index,
    require_section,
    sections,
    unpacked_bytes,
)
from fairway.artifact.storage import StoredModel
from fairway.files.compression import Compressor, PackedError, compress, decompress
from fairway.files.records import Natural, build
from fairway.model.architecture import ModelConfig
from fairway.model.network import Model
from fairway.stage import StageError, parse_json, require_file

_NAME = b"FAIRWAY"
MAGIC = _NAME + bytes([PRESENT])
_START = len(MAGIC) + 32
_MOST_RATIO, _FREE_BYTES = 4, 20 << 20  # tensors take 4 times the packed sections and 20 MiB
_MOST_TEXT = 1 << 20  # bytes of the header, and of the index


@dataclass(frozen=True)
class Header:
    """What an artifact says of its sections: name, raw bytes and packed bytes of each."""

    compressor: CoderName
    sections: tuple[tuple[str, Natural, Natural], ...]


def encode(stored: StoredModel, name: CoderName, packer: Coder | None = None) -> bytes:
    """The artifact of a model. packer: coder(name), or a wrapper that remembers."""
    packer = packer or coder(name)
    index, tensors = sections(stored)
    packed = {"index": (len(index), compress(_of_index(name), index))}
    packed |= {section: packer.pack(section, found) for section, found in tensors.items()}
    entries = [[key, size, len(part)] for key, (size, part) in packed.items()]
    header = json.dumps({"compressor": name, "sections": entries}, separators=(",", ":")).encode()
    payload = b"".join(part for _, part in packed.values())
    require_text(len(index), "artifact: section index")
    values = sum(tensor.nbytes for found in tensors.values() for tensor in found)
    require_room(values, len(payload), "artifact")
    rest = struct.pack("<I", len(header)) + header + payload
    return sealed(MAGIC, rest)


def sealed(magic: bytes, rest: bytes) -> bytes:
    """An artifact of its first 8 bytes and what stands behind the checksum."""
    covered = rest if magic[-1] == 1 else magic + rest
    return magic + hashlib.sha256(covered).digest() + rest


def _of_index(name: CoderName) -> Compressor:
    """What compresses the index: text, of which the ANS coder knows nothing."""
    return "lzma" if name == "ans" else name


def decode(content: bytes, name: object) -> StoredModel:
    """The model in an artifact's bytes, bit-identical; `name` is for the error.

    Raises StageError if the bytes are not an artifact, are cut short or are damaged.
    """
    magic = content[: len(MAGIC)]
    version = int.from_bytes(magic[len(_NAME) :])
    if magic[: len(_NAME)] != _NAME or version not in VERSIONS:
        found = magic.hex() or "nothing"
        raise StageError(f"{name}: starts with {found}; an artifact starts with {MAGIC.hex()}")
    if content != sealed(magic, content[_START:]):
        raise StageError(
            f"{name}: {len(content)} bytes do not have the SHA-256 they should; "
            "damaged or cut short, pack again"
        )
    header, position = _header(content, name)
    unpacker = coder(header.compressor, version)
    parts = {}
    for key, size, packed in header.sections:
        parts[key] = content[position : position + packed], size
        position += packed
    index = _index(header.compressor, *parts["index"], name)
    require_room(unpacked_bytes(index), sum(size for _, _, size in header.sections), name)
    check_sizes(index, {key: size for key, size, _ in header.sections}, unpacker, name)
    tensors = {}
    for key, shapes in reversed(index.shapes().items()):  # the integers, nearly all of it, last
        try:
            tensors[key] = unpacker.unpack(key, *parts[key], shapes)
        except PackedError as error:
            raise StageError(f"{name}: section {key}: {error}") from None
        require_section(key, tensors[key], name)
    return join(index, tensors)


def _index(compressor: CoderName, packed: bytes, size: int, name: object) -> Index:
    require_text(size, f"{name}: section index")
    try:
        return read_index(decompress(_of_index(compressor), packed, size), name)
    except PackedError as error:
        raise StageError(f"{name}: section index: {error}") from None


def require_text(size: int, name: str) -> None:
    """Raise StageError for a header or an index that is larger than any model's."""
    if size > _MOST_TEXT:
        raise StageError(f"{name}: {size} bytes; expected at most {_MOST_TEXT}")


def require_room(unpacked: int, packed: int, name: object) -> None:
    """Raise StageError for tensors that shrink more than trained weights do.

    42 million int8 may take 1 bit each; 84 million 1.5, as many as a file of 16 MB holds then; at
    2 bits there may be any number. It bounds what a reader's memory and time can be.
    """
    most = _MOST_RATIO * packed + _FREE_BYTES
    if unpacked > most:
        raise StageError(f"{name}: {packed} bytes hold {unpacked}; expected at most {most}")


def section_sizes(content: bytes) -> dict[str, dict[str, int]]:
    """Bytes of each section of an artifact, `raw` and `packed`."""
    header, _ = _header(content, "artifact")
    return {name: {"raw": raw, "packed": packed} for name, raw, packed in header.sections}


def _header(content: bytes, name: object) -> tuple[Header, int]:
    """The header, checked against the file's size, and where the sections start."""
    (length,) = struct.unpack_from("<I", content.ljust(_START + 4, b"\0"), _START)
    require_text(length, f"{name}: header")
    position = _START + 4 + length
    header = build(Header, parse_json(content[_START + 4 : position], name), f"{name}: header")
    names = [key for key, _, _ in header.sections]
    if names != list(SECTIONS):
        raise StageError(f"{name}: sections {str(names)[:200]}; expected {list(SECTIONS)}")
    rest, packed = len(content) - position, sum(size for _, _, size in header.sections)
    if rest != packed:
        raise StageError(f"{name}: {rest} bytes behind the header; its sections have {packed}")
    return header, position


def read_artifact(path: Path) -> StoredModel:
    """Unpack an artifact file; raises StageError naming it if it is missing or damaged."""
    return decode(require_file(path).read_bytes(), path)


def build_model(stored: StoredModel) -> Model:
    """The model ready for scoring: dequantised to float32, in eval mode, on the CPU."""
    model = Model(ModelConfig.from_dict(stored.config))
    model.load_state_dict(stored.state())
    return model.eval().requires_grad_(False)


def load_model(path: Path) -> Model:
    """The model of an artifact file, ready for scoring."""
    return build_model(read_artifact(path))
