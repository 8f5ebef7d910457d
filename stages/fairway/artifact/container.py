"""The artifact: a packed model in one file, and all that scoring knows of the model.

    8 bytes    magic, with the format's version
    32 bytes   SHA-256 of everything behind it
    4 bytes    length of the header, little-endian
    header     JSON: compressor, and [name, raw bytes, packed bytes] of every section
    sections   each compressed on its own

What the sections hold is said in fairway.artifact.sections. The bytes are a function of the
tensors alone: no times, no hashes of settings.

Artifacts come from other people: nothing is allocated or decompressed beyond what the file has
declared and can hold, and everything that could make a model another one is refused.
"""

import hashlib
import json
import lzma
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import zstandard

from fairway.artifact.sections import SECTIONS, check_sizes, join, read_index, sections
from fairway.artifact.storage import StoredModel
from fairway.files.records import Natural, build
from fairway.model.architecture import ModelConfig
from fairway.model.network import Model
from fairway.stage import StageError, parse_json, require_file

MAGIC = b"FAIRWAY\x01"
ZSTD_LEVEL = 22
_START = len(MAGIC) + 32
_MINIMUM_DICTIONARY = 4096  # of LZMA
_MOST_RATIO, _FREE_BYTES = 3, 1 << 22  # unpacked sections: 3 times the packed ones and 4 MiB

Compress = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Header:
    """What an artifact says of its sections: name, raw bytes and packed bytes of each."""

    compressor: Literal["lzma", "zstd"]
    sections: tuple[tuple[str, Natural, Natural], ...]


def compressor(name: str) -> Compress:
    """The compressing function called `lzma` (preset 9 | EXTREME) or `zstd` (level 22)."""
    return {"lzma": _lzma_compress, "zstd": zstandard.ZstdCompressor(ZSTD_LEVEL).compress}[name]


def encode(stored: StoredModel, name: str, compress: Compress) -> bytes:
    """The artifact of a model. compress: compressor(name), or a wrapper that remembers."""
    packed = {key: (len(raw), compress(raw)) for key, raw in sections(stored).items()}
    entries = [[key, size, len(part)] for key, (size, part) in packed.items()]
    header = json.dumps({"compressor": name, "sections": entries}, separators=(",", ":")).encode()
    payload = b"".join(part for _, part in packed.values())
    require_ratio(sum(size for _, size, _ in entries), len(payload), "artifact")
    rest = struct.pack("<I", len(header)) + header + payload
    return MAGIC + hashlib.sha256(rest).digest() + rest


def decode(content: bytes, name: object) -> StoredModel:
    """The model in an artifact's bytes, bit-identical; `name` is for the error.

    Raises StageError if the bytes are not an artifact, are cut short or are damaged.
    """
    if content[: len(MAGIC)] != MAGIC:
        found = content[: len(MAGIC)].hex() or "nothing"
        raise StageError(f"{name}: starts with {found}; an artifact starts with {MAGIC.hex()}")
    if hashlib.sha256(content[_START:]).digest() != content[len(MAGIC) : _START]:
        raise StageError(
            f"{name}: {len(content)} bytes do not have the SHA-256 they should; "
            "damaged or cut short, pack again"
        )
    header, position = _header(content, name)
    raw = {}
    for key, size, packed in header.sections:
        part = content[position : position + packed]
        raw[key] = _decompress(header.compressor, part, size, f"{name}: section {key}")
        if key == "index":
            index = read_index(raw.pop(key), name)
            check_sizes(index, {key: size for key, size, _ in header.sections}, name)
        position += packed
    return join(index, raw, name)


def require_ratio(raw: int, packed: int, name: object) -> None:
    """Raise StageError for sections that shrink more than trained weights can (1.1 times)."""
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


def _lzma_filters(size: int) -> list[dict[str, int]]:
    # The preset's 64 MiB dictionary is cut to the data's size: the same bytes with less memory.
    # Literal and position contexts are off: there is no structure for them to see.
    preset = {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "lc": 0,
        "lp": 0,
        "pb": 0,
    }
    return [preset | {"dict_size": min(1 << 26, max(_MINIMUM_DICTIONARY, size))}]


def _lzma_compress(raw: bytes) -> bytes:
    return lzma.compress(raw, lzma.FORMAT_RAW, filters=_lzma_filters(len(raw)))


def _decompress(name: str, packed: bytes, size: int, section: str) -> bytes:
    """A section of `size` bytes, no more of which is ever made; StageError if it is not that."""
    try:
        if name == "lzma":
            decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_lzma_filters(size))
            raw = decompressor.decompress(packed, size + 1)
            whole = decompressor.eof and not decompressor.unused_data
        else:
            known = zstandard.get_frame_parameters(packed).content_size == size
            decompressor = zstandard.ZstdDecompressor()
            raw = decompressor.decompress(packed, allow_extra_data=False) if known else b""
            whole = known
    except (lzma.LZMAError, zstandard.ZstdError, EOFError) as error:
        raise StageError(f"{section}: cannot be decompressed ({error})") from None
    if len(raw) != size or not whole:
        raise StageError(f"{section}: is not one {name} stream of {size} bytes")
    return raw
