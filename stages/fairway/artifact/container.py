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
    check_sizes,
    join,
    read_index,
    require_section,
    sections,
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
_MOST_RATIO, _FREE_BYTES = 8, 1 << 22  # unpacked sections: 8 times the packed ones and 4 MiB


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
    require_ratio(sum(size for _, size, _ in entries), len(payload), "artifact")
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
    _, size, packed = header.sections[0]
    try:
        raw = decompress(_of_index(header.compressor), content[position : position + packed], size)
    except PackedError as error:
        raise StageError(f"{name}: section index: {error}") from None
    index = read_index(raw, name)
    check_sizes(index, {key: size for key, size, _ in header.sections}, unpacker, name)
    tensors = {}
    for key, shapes in index.shapes().items():
        position += packed
        _, size, packed = header.sections[SECTIONS.index(key)]
        try:
            part = content[position : position + packed]
            tensors[key] = unpacker.unpack(key, part, size, shapes)
        except PackedError as error:
            raise StageError(f"{name}: section {key}: {error}") from None
        require_section(key, tensors[key], name)
    return join(index, tensors)


def require_ratio(raw: int, packed: int, name: object) -> None:
    """Raise StageError for sections that shrink more than trained weights do (1.1 to 4 times)."""
    most = _MOST_RATIO * packed + _FREE_BYTES
    if raw > most:
        raise StageError(f"{name}: {packed} bytes hold {raw}; expected at most {most}")


def section_sizes(content: bytes) -> dict[str, dict[str, int]]:
    """Bytes of each section of an artifact, `raw` and `packed`."""
    header, _ = _header(content, "artifact")
    return {name: {"raw": raw, "packed": packed} for name, raw, packed in header.sections}


def _header(content: bytes, name: object) -> tuple[Header, int]:
    """The header, checked against the file's size, and where the sections start."""
    (length,) = struct.unpack_from("<I", content.ljust(_START + 4, b"\0"), _START)
    position = _START + 4 + length
    header = build(Header, parse_json(content[_START + 4 : position], name), f"{name}: header")
    names = [key for key, _, _ in header.sections]
    if names != list(SECTIONS):
        raise StageError(f"{name}: sections {names}; expected {list(SECTIONS)}")
    rest, packed = len(content) - position, sum(size for _, _, size in header.sections)
    if rest != packed:
        raise StageError(f"{name}: {rest} bytes behind the header; its sections have {packed}")
    require_ratio(sum(size for _, size, _ in header.sections), packed, name)
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
