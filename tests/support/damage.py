"""Damaged files of every format, most of them with the checksum made right again."""

import hashlib
import io
import json
import struct
import zipfile
import zlib
from functools import cache, lru_cache, partial
from pathlib import Path

import brotli
import numpy as np
import torch
import zstandard

from fairway.artifact import container
from fairway.codec.file import MAGIC
from fairway.counting import memories
from fairway.files.compression import COMPRESSORS, Compressor, compress, decompress
from fairway.files.tensors import load_tensors, save_tensors
from fairway.json_text import SEAL, sealed
from fairway.stage import parse_json
from support.mutations import changed_array, changed_bytes, changed_json, chosen, json_text

_BOMB = 1 << 24  # bytes that take no room packed
_SMALL_NUMBERS = ("3", "-1", "x", "null", "[]", "1e999")


def artifact(content: bytes, generator: np.random.Generator) -> bytes:
    """Another artifact, of this one, which is by zstd or ans; every second has a wrong SHA-256.

    Of the others it is right again, whatever they say: bytes, header, index or sections changed,
    and now and then they are of another version of the format.
    """
    if generator.integers(2):
        return changed_bytes(content, generator)
    found = _changed_artifact(content, generator)
    magic = container.MAGIC
    if generator.integers(8) == 0:
        magic = magic[:-1] + bytes([int(generator.integers(4))])
    return container.sealed(magic, found[len(magic) + 32 :])


def _changed_artifact(content: bytes, generator: np.random.Generator) -> bytes:
    start, kind = len(container.MAGIC) + 32, generator.integers(7)
    rest = content[start:]
    length = struct.unpack("<I", rest[:4])[0]
    header = json.loads(rest[4 : 4 + length])
    if kind == 0:
        return content[:start] + changed_bytes(rest, generator)
    if kind == 1:
        text = json_text(changed_json(header, generator), generator).encode()
        return content[:start] + struct.pack("<I", len(text)) + text + rest[4 + length :]
    if header["compressor"] == "ans":
        return _changed_code(content, generator)
    return _packed(_changed_sections(content, generator), generator)


def artifact_parts(content: bytes) -> dict[str, tuple[int, bytes]]:
    """By section of an artifact, its raw size and its packed bytes."""
    start = len(container.MAGIC) + 32
    length = struct.unpack_from("<I", content, start)[0]
    position, result = start + 4 + length, {}
    for name, size, packed in json.loads(content[start + 4 : position])["sections"]:
        result[name] = size, content[position : position + packed]
        position += packed
    return result


def artifact_sections(content: bytes, name: Compressor) -> dict[str, bytes]:
    """The sections of an artifact by a general compressor, unpacked."""
    parts = artifact_parts(content)
    return {key: bytes(decompress(name, part, size)) for key, (size, part) in parts.items()}


def artifact_of(name: str, parts: dict[str, tuple[int, bytes]]) -> bytes:
    """An artifact of sections that declare these raw sizes, its checksum right."""
    entries = [[key, size, len(part)] for key, (size, part) in parts.items()]
    header = json.dumps({"compressor": name, "sections": entries}).encode()
    payload = b"".join(part for _, part in parts.values())
    return resealed(struct.pack("<I", len(header)) + header + payload)


def resealed(rest: bytes) -> bytes:
    """An artifact of everything behind the checksum."""
    return container.sealed(container.MAGIC, rest)


def _changed_sections(content: bytes, generator: np.random.Generator) -> dict[str, bytes]:
    raw = artifact_sections(content, "zstd")
    if generator.integers(2):
        raw["index"] = json_text(
            changed_json(json.loads(raw["index"]), generator), generator
        ).encode()
    else:
        name = chosen(generator, list(raw))
        raw[name] = changed_bytes(raw[name], generator)
        if generator.integers(8) == 0:
            raw[name] += bytes(_BOMB)
    return raw


def _packed(raw: dict[str, bytes], generator: np.random.Generator) -> bytes:
    small = sum(map(len, raw.values())) < _BOMB
    name = chosen(generator, COMPRESSORS) if small else "zstd"  # LZMA would take long
    pack = partial(_quickly, name) if small else zstandard.compress
    return artifact_of(name, {key: (len(part), pack(part)) for key, part in raw.items()})


@lru_cache(maxsize=64)
def _quickly(name: Compressor, part: bytes) -> bytes:
    """A stream of that compressor, not its shortest."""
    if name == "brotli":
        return brotli.compress(part, quality=1)
    return zstandard.compress(part) if name == "zstd" else compress(name, part)


def _changed_code(content: bytes, generator: np.random.Generator) -> bytes:
    """An artifact by the ANS coder: the code of a section, its size or the index another."""
    parts = artifact_parts(content)
    name = chosen(generator, list(parts))
    size, part = parts[name]
    if name == "index":
        index = json.loads(decompress("lzma", part, size))
        raw = json_text(changed_json(index, generator), generator).encode()
        parts[name] = len(raw), compress("lzma", raw)
    else:
        size += int(generator.integers(-1, 2)) * int(generator.integers(2))
        parts[name] = size, changed_bytes(part, generator)
    return artifact_of("ans", parts)


def fwtx(content: bytes, generator: np.random.Generator) -> bytes:
    """Another .fwtx: bytes, numbers of the header or words changed, the CRC mostly right again."""
    rest = content[8:]
    kind = generator.integers(5)
    if kind == 0:
        return changed_bytes(content, generator)
    if kind == 1:
        rest = rest[:41] + struct.pack("<I", int(generator.integers(2**32))) + rest[45:]
    elif kind == 2:
        rest = rest[:45] + generator.bytes(4 * int(generator.integers(0, 20)))
    elif kind == 3:
        rest += generator.bytes(int(generator.integers(1, 9)))
    else:
        rest = changed_bytes(rest, generator)
    return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest


@cache
def _memory_bomb(name: Compressor) -> bytes:
    """What a memory of very many tokens packs to, behind its header."""
    packed = memories.pack_memory(np.zeros(_BOMB // 2, np.uint16), 2, 32 * "00", name)
    return packed[len(memories.MAGIC) + 32 + 41 :]


def memory(content: bytes, generator: np.random.Generator) -> bytes:
    """Another memory: bytes, numbers of the header or payload changed, the SHA-256 right again."""
    start = len(memories.MAGIC) + 32
    rest, kind = content[start:], generator.integers(5)
    if kind == 0:
        return changed_bytes(content, generator)
    if kind == 1:
        numbers = generator.integers(0, 2 ** int(generator.integers(1, 33)), 2).tolist()
        rest = rest[:32] + struct.pack("<II", *numbers) + rest[40:]
    elif kind == 2:
        rest = rest[:40] + bytes([int(generator.integers(3))]) + rest[41:]
    elif kind == 3:
        name = chosen(generator, COMPRESSORS)
        payload = chosen(generator, (b"", _memory_bomb(name)))
        rest = rest[:40] + bytes([COMPRESSORS.index(name)]) + payload
    else:
        rest = rest[:41] + changed_bytes(rest[41:], generator)
    return memories.MAGIC + hashlib.sha256(rest).digest() + rest


def npz(content: bytes, generator: np.random.Generator) -> bytes:
    """Another .npz: its bytes, or arrays by numpy, with their CRCs."""
    if generator.integers(3) == 0:
        return changed_bytes(content, generator)
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    for name in generator.permutation(list(arrays))[: int(generator.integers(1, 3))].tolist():
        arrays[name] = changed_array(arrays[name], generator)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            written = member.getvalue()
            if generator.integers(8) == 0:
                written = changed_bytes(written, generator)
            compressed = generator.integers(12) == 0
            file.writestr(
                f"{name}.npy", written, zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
            )
    return buffer.getvalue()


def tensors(path: Path, content: bytes, generator: np.random.Generator) -> bytes:
    """Another safetensors file: its bytes, or tensors or metadata with their checksum."""
    if generator.integers(3) == 0:
        return changed_bytes(content, generator)
    path.write_bytes(content)
    found, metadata = load_tensors(path)
    if generator.integers(2):
        key = chosen(generator, list(metadata))
        text = chosen(generator, _SMALL_NUMBERS)
        if metadata[key][:1] in "{[":
            text = json_text(changed_json(json.loads(metadata[key]), generator), generator)
        metadata[key] = text
    else:
        key = chosen(generator, list(found))
        other = changed_array(found.pop(key).numpy(), generator)
        if other.dtype.kind in "iuf" and other.dtype.isnative:
            found[key] = torch.from_numpy(np.ascontiguousarray(other))
    save_tensors(path, found, metadata)
    return path.read_bytes()


def sealed_json(content: bytes, generator: np.random.Generator) -> bytes:
    """Another JSON file: its bytes, or a changed value, mostly with its checksum."""
    if generator.integers(4) == 0:
        return changed_bytes(content, generator)
    value = parse_json(content, "valid")
    value.pop(SEAL, None)
    text = json_text(changed_json(value, generator), generator)
    return (sealed(text) if generator.integers(8) else text).encode(errors="replace")


def spec_json(content: bytes, generator: np.random.Generator) -> bytes:
    """Another spec: its bytes, or changed settings."""
    if generator.integers(8) == 0:
        return changed_bytes(content, generator)
    value = parse_json(content, "valid")
    value["settings"] = changed_json(value["settings"], generator)
    return json_text(value, generator).encode(errors="replace")


def plain(content: bytes, generator: np.random.Generator) -> bytes:
    """The bytes changed; nothing in the file can be made right."""
    return changed_bytes(content, generator)
