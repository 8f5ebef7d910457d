"""All that docs/format.md says a reader of artifacts refuses: one line, soon and in little memory.

Made from a golden file by hand, with the right checksum; nothing that writes artifacts has a say.
"""

import json
import lzma
import struct
import time
import tracemalloc
from collections.abc import Callable
from functools import cache

import brotli
import pytest
import zstandard

from fairway.artifact.container import MAGIC, decode, sealed
from fairway.stage import StageError
from golden.make_files import FOLDER

INDEX = 0  # place of the index among the sections


def taken_apart(compressor: str) -> tuple[dict, list[bytes]]:
    """Header and packed sections of a golden artifact."""
    content = (FOLDER / f"artifact.v2.{compressor}.bin").read_bytes()
    position = 44 + struct.unpack("<I", content[40:44])[0]
    header, packed = json.loads(content[44:position]), []
    for _, _, size in header["sections"]:
        packed.append(content[position : position + size])
        position += size
    return header, packed


def put_together(header: dict | str, packed: list[bytes]) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    rest = struct.pack("<I", len(text)) + text + b"".join(packed)
    return sealed(MAGIC, rest)


def with_index(change: Callable[[dict], object] | bytes) -> bytes:
    """The golden artifact with a changed index."""
    header, packed = taken_apart("zstd")
    raw = change
    if not isinstance(change, bytes):
        index = json.loads(zstandard.ZstdDecompressor().decompress(packed[INDEX]))
        change(index)
        raw = json.dumps(index).encode()
    packed[INDEX] = zstandard.ZstdCompressor().compress(raw)
    header["sections"][INDEX][1:] = len(raw), len(packed[INDEX])
    return put_together(header, packed)


def assert_refused(content: bytes, message: str) -> None:
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(StageError, match=rf"^a\.bin: {message}") as caught:
        decode(content, "a.bin")
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    assert seconds < 5 and peak < 1 << 28, (seconds, peak)


def test_the_golden_file_itself_is_read():
    for compressor in ("lzma", "zstd", "brotli", "ans"):
        assert decode(put_together(*taken_apart(compressor)), "a.bin").tensors
    assert decode(with_index(lambda index: None), "a.bin").tensors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.update(compressor="gzip"), "header.compressor: 'gzip'; expected"),
        (lambda header: header.update(more=1), "header: unknown key 'more'"),
        (lambda header: header.pop("sections"), "header: no `sections`"),
        (lambda header: header["sections"].reverse(), "sections .* expected .*'index', 'int6'"),
        (lambda header: header["sections"].pop(2), "sections .* expected .*'index', 'int6'"),
        (lambda header: header["sections"].append(header["sections"][1]), "sections .* expected"),
        (
            lambda header: header["sections"][1].__setitem__(2, -1),
            r"header.sections\[1\]\[2\]: -1",
        ),
        (
            lambda header: header["sections"][1].__setitem__(1, -1),
            r"header.sections\[1\]\[1\]: -1",
        ),
        (
            lambda header: header["sections"][0].__setitem__(1, 10**9),
            "section index: 10{9} .*most",
        ),
        (
            lambda header: header["sections"][1].__setitem__(1, 10**9),
            "section int6 has 10{9} bytes",
        ),
        (
            lambda header: header["sections"][0].__setitem__(0, "x" * 10**5),
            "sections .'xxx.*index",
        ),
        (lambda header: header.update({"k" * 10**5: 1}), "header: unknown key 'kkk"),
        (lambda header: header["sections"][1].__setitem__(1, 10**30), "not valid JSON .*number"),
        (lambda header: header["sections"][1].__setitem__(2, 10**9), ".* bytes behind the header"),
        (lambda header: header["sections"][1].__setitem__(1, 7), "section int6 has 7 bytes"),
        (lambda header: header["sections"][5].__setitem__(1, 9), "section float32 has 9 bytes"),
    ],
)
def test_headers(change: Callable[[dict], object], message: str):
    header, packed = taken_apart("zstd")
    change(header)
    assert_refused(put_together(header, packed), message)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "not valid JSON"),
        ("[]", r"header: \[\]; expected an object"),
        ('{"compressor": "zstd", "compressor": "lzma", "sections": []}', ".*'compressor' twice"),
        ('{"compressor": "zstd", "sections": NaN}', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_headers_that_are_no_json_object(header: str, message: str):
    assert_refused(put_together(header, []), message)


def test_bytes_that_are_no_sections():
    header, packed = taken_apart("zstd")
    assert_refused(put_together(header, [*packed, b"0"]), ".* bytes behind the header")


def test_a_header_longer_than_the_file():
    rest = struct.pack("<I", 2**32 - 1) + b"{}"
    assert_refused(sealed(MAGIC, rest), f"header: {2**32 - 1} bytes; expected at most 1048576")


def embedding(shape: list) -> Callable[[dict], object]:
    return lambda index: index["tensors"][0].__setitem__(2, shape)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (embedding([-20, 16]), r"index.tensors\[0\]\[2\]\[0\]: -20; expected at least 0"),
        (embedding([2**62, 2**62]), "token_embedding: shape .* its model has shape"),
        (embedding([20, 16, 1]), "token_embedding: shape .* its model has shape"),
        (embedding([1] * 30_000), "token_embedding: shape .* its model has shape"),
        (embedding([20.0, 16]), r"index.tensors\[0\]\[2\]\[0\]: 20.0; expected a whole number"),
        (
            lambda index: index["tensors"][1].__setitem__(1, "int6"),
            "smear_logit: int6 .*no matrix",
        ),
        (lambda index: index["tensors"][0].__setitem__(0, "x"), "token_embedding: missing"),
        (lambda index: index["tensors"].append(["x", "int8", [1, 1]]), "x: shape .*no such"),
        (lambda index: index["tensors"].append(index["tensors"][3]), "index: a tensor twice"),
        (lambda index: index["tensors"][0].__setitem__(1, "float16"), "section int8 has"),
        (lambda index: index["config"].update(vocabulary=2**40), "config.vocabulary: 10995"),
        (lambda index: index["config"].update(loops=128, shared_blocks=128), "config: .*layers"),
        (lambda index: index["config"].update(loops=127), "blocks.*|layers.*"),
        (
            lambda index: index["config"].update(loops=10**6),
            "config.loops: 1000000; expected 0 to",
        ),
        (lambda index: index["config"].update(bigram_rows=2**31 - 1), "config.bigram_rows: 21"),
        (
            lambda index: index["config"].update(value_embedding_layers=[1] * 30_000),
            r"config.value_embedding_layers: .1, 1, .*expected a length of 0 to 128",
        ),
        (
            lambda index: index["config"].update(lora_matrices=["q"] * 7),
            "config.lora_matrices: .*expected a length of 0 to 6",
        ),
        (lambda index: index["config"].update(width="16"), "config.width: '16'; expected a whole"),
        (lambda index: index["config"].update(logit_cap=True), "config.logit_cap: True"),
        (lambda index: index["config"].update({"k" * 500: 0}), "config: unknown key"),
        (lambda index: index.update(columns=["smear_logit"]), "index: columns of smear_logit"),
        (lambda index: index.update(columns=["none"]), "index: columns of none"),
        (lambda index: index.update(columns=["token_embedding"] * 2), "index: columns of token"),
        (lambda index: index.update(columns=["token_embedding"]), "section scale has"),
        (lambda index: index.update(columns=[["x"]]), "index.columns"),
        (lambda index: index.update(tokenizer_sha256="x" * 65), "index.tokenizer_sha256: 'xxx"),
    ],
)
def test_indexes(change: Callable[[dict], object], message: str):
    assert_refused(with_index(change), message)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"config": {}, "config": {}}', "not valid JSON .*'config' twice"),
        (b'{"config": {"width": 1e999}}', "not valid JSON"),
        (b'\xff{"config": {}}', "not valid JSON"),
        (b"[" * 1_000_000, "not valid JSON"),
        (b" " * 1_100_000, "section index: 1100000 bytes; expected at most 1048576"),
        (b'{"config": {' + b",".join(b'"%d": 0' % i for i in range(90_000)) + b"}}", ".*index"),
        (
            b'{"config": {}, "tokenizer_sha256": "", "tensors": [' + b"0," * 500_000 + b"0]}",
            ".*",
        ),
    ],
    ids=["twice", "infinite", "not UTF-8", "deep", "long", "enormous config", "enormous list"],
)
def test_indexes_that_are_strange_json(raw: bytes, message: str):
    assert_refused(with_index(raw), message)


def quickly(raw: bytes) -> bytes:
    return brotli.compress(raw, quality=5)


@cache
def again(compressor: str, raw: bytes) -> bytes:
    """Another whole stream."""
    if compressor == "lzma":
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 6}]
        return lzma.compress(raw, lzma.FORMAT_RAW, filters=filters)
    return {"zstd": zstandard.compress, "brotli": quickly}[compressor](raw)


DAMAGES = ("cut", "more", "a second stream", "a bomb")
CASES = [
    *((name, "an empty stream") for name in ("lzma", "zstd", "brotli")),
    *((name, damage) for name in ("lzma", "zstd", "brotli", "ans") for damage in DAMAGES),
    *((name, "nothing") for name in ("lzma", "zstd", "brotli")),  # by ans, it is zeros
]


@pytest.mark.parametrize(("compressor", "damage"), CASES)
@pytest.mark.parametrize("place", range(1, 6))
def test_sections_that_are_not_one_whole_stream(compressor: str, place: int, damage: str):
    header, packed = taken_apart(compressor)
    if compressor == "ans":
        others = {"a second stream": packed[place] * 2, "a bomb": bytes(1 << 16)}
    else:
        bomb = again(compressor, bytes(1 << 24))
        others = {"a second stream": packed[place] + again(compressor, b"1"), "a bomb": bomb}
        others["an empty stream"] = packed[place] + again(compressor, b"")
    part = packed[place]
    packed[place] = {"cut": part[:-4], "more": part + bytes(4), "nothing": b""} | others
    packed[place] = packed[place][damage]
    header["sections"][place][2] = len(packed[place])
    assert_refused(put_together(header, packed), f"section {header['sections'][place][0]}: ")
