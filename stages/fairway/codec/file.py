"""A text as a file of about as many bits as a row claims for it, and back.

The row predicts, constriction's range coder (Bamler, arXiv:2201.01741) writes. The decoder needs
the artifact and the memory, where the row has them, the tokenizer and the row's settings, and
nothing of the text. A file:

    magic      4 bytes
    checksum   uint32, CRC-32 of everything behind it
    format     uint8
    artifact   8 bytes, beginning of the artifact's SHA-256; zeros for a row without a network
    memory     8 bytes, beginning of the memory's SHA-256; zeros without one
    row        8 bytes, beginning of the SHA-256 of the row's settings
    versions   3 bytes each: torch (zeros without a network), numpy, numba, constriction
    probe      uint32, CRC-32 of the probabilities of a fixed short text
    text       uint32, CRC-32 of the text
    targets    uint32
    code       the range coder's words, little-endian uint32

All integers are little-endian. The probe is there since floats may differ on another processor or
after a change of code: that is one clear error before anything is decoded, not garbage.
"""

import hashlib
import json
import re
import struct
import zlib
from copy import deepcopy
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from fairway.codec.coder import CodeError, Progress, decode_tokens, encode_tokens, no_progress
from fairway.codec.prediction import ROW_KEYS, Base, RowPredictor
from fairway.corpus.exact_text import ExactText
from fairway.corpus.shards import BOS
from fairway.counting.memories import Memory
from fairway.counting.memory_index import MemoryIndex, index_memory
from fairway.counting.segments import NO_MEMORY
from fairway.rows.gate import row_gate
from fairway.stage import StageError

MAGIC = b"FWTX"
FORMAT = 2
FREE_TARGETS = 4096  # 2 seconds at the default sizes
TARGETS_PER_BIT = 8
PACKAGES = ("torch", "numpy", "numba", "constriction")
_HEADER = struct.Struct("<B8s8s8s12sIII")
_START = len(MAGIC) + 4
_PROBE_TOKENS = 64
_NO_TEXT = (
    "does not decode to its text; expected the encoder's floats, so decode on the kind of machine "
    "that made it"
)
_PROBE_WINDOWS = {"length": 24, "stride": 8}


@dataclass(frozen=True)
class Header:
    """What a file says of itself; see the module's head."""

    format: int
    artifact: bytes
    memory: bytes
    row: bytes
    versions: bytes
    probe: int
    text: int
    targets: int

    def pack(self) -> bytes:
        return _HEADER.pack(*self.__dict__.values())


class Codec:
    """Compresses and decompresses by one row.

    base: what its rule starts from; settings: of the row, as mix_scores has them; memory: what its
    cache begins with, if it has one. Raises StageError for a row with hashed counts.
    """

    def __init__(
        self, base: Base, text: ExactText, settings: dict[str, Any], memory: Memory | None = None
    ) -> None:
        self.base, self.text, self.settings = base, text, settings
        self.memory: MemoryIndex | None = None
        if memory is not None:
            depth = settings["cache_settings"]["max_order"]
            self.memory = index_memory(memory.tokens, depth)
        seen = self.memory.tokens if self.memory else NO_MEMORY
        self.gate = row_gate(settings["gate"], settings["cache_settings"], seen)
        self.begun = self.gate.start()  # once: it walks over the whole memory
        self.artifact = _beginning(base.sha256)
        self.memory_file = _beginning(memory.sha256 if memory else "")
        self.row = _row_sha256(settings)[:8]
        self.probe = self._probe()

    def compress(self, tokens: np.ndarray, progress: Progress = no_progress) -> bytes:
        """The file of a text, given as its tokens from BOS on."""
        if len(tokens) == 0 or tokens[0] != BOS:
            raise StageError(f"tokens begin with {tokens[:1]}; expected BOS ({BOS})")
        code = encode_tokens(self._predictor(len(tokens) - 1), tokens, progress)
        header = Header(
            FORMAT,
            self.artifact,
            self.memory_file,
            self.row,
            self._versions(),
            self.probe,
            zlib.crc32(self.text.decode(tokens)),
            len(tokens) - 1,
        )
        rest = header.pack() + code
        return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest

    def decompress(
        self,
        content: bytes,
        name: object,
        progress: Progress = no_progress,
        any_length: bool = False,
    ) -> np.ndarray:
        """The tokens, uint16, of a file; `name` is for the error.

        any_length: also of one that declares more targets than `require_length` lets pass. Raises
        StageError for a damaged file, one made with something else, and floats that are not the
        encoder's.
        """
        header, code = read_header(content, name)
        if not any_length:
            require_length(header, code, name)
        self._check(header, name)
        try:
            predictor = self._predictor(header.targets)
            tokens = decode_tokens(predictor, code, BOS, header.targets, progress)
        except CodeError as error:
            raise StageError(f"{name}: {_NO_TEXT} ({error})") from None
        if zlib.crc32(self.text.decode(tokens)) != header.text:
            raise StageError(f"{name}: {_NO_TEXT}")
        return tokens

    def _check(self, header: Header, name: object) -> None:
        """Raise StageError for the first thing that the file needs and that is not here."""
        for what, needed, found in (
            ("artifact", header.artifact.hex(), self.artifact.hex()),
            ("memory", header.memory.hex(), self.memory_file.hex()),
            ("row settings", header.row.hex(), self.row.hex()),
            *zip(PACKAGES, _dotted(header.versions), _dotted(self._versions()), strict=True),
        ):
            if needed != found:
                raise StageError(f"{name}: made with {what} {needed}; found {found}")
        if header.probe != self.probe:
            raise StageError(
                f"{name}: made where probabilities of a fixed text have checksum "
                f"{header.probe:08x}; found {self.probe:08x}: another processor or other code"
            )

    def _predictor(self, targets: int) -> RowPredictor:
        return self._predictor_of(self.settings, targets)

    def _predictor_of(self, settings: dict[str, Any], targets: int) -> RowPredictor:
        state = deepcopy(self.begun)
        return RowPredictor(self.base, self.gate, state, settings, targets, self.memory)

    def _probe(self) -> int:
        """CRC-32 of the row's probabilities along a short text, in short windows, that repeats."""
        settings = self.settings | {"windows": _PROBE_WINDOWS}
        predictor = self._predictor_of(settings, _PROBE_TOKENS)
        checksum = 0
        for index in range(_PROBE_TOKENS):
            predictor.push(BOS + index * index % 17 % self.base.vocabulary)
            checksum = zlib.crc32(predictor.distribution().tobytes(), checksum)
        return checksum

    def _versions(self) -> bytes:
        """Of every package, three bytes; zeros for one that this row does not use."""
        unused = {"torch"} - set(self.base.packages)
        numbers = [
            [0, 0, 0] if package in unused else re.findall(r"\d+", version(package))[:3]
            for package in PACKAGES
        ]
        return bytes(min(int(number), 255) for three in numbers for number in three)


def read_header(content: bytes, name: object) -> tuple[Header, bytes]:
    """Header and code of a file; StageError if it is not one, is cut short or is damaged."""
    if content[: len(MAGIC)] != MAGIC:
        found = content[: len(MAGIC)].hex() or "nothing"
        raise StageError(f"{name}: begins with {found}; expected {MAGIC.hex()}")
    rest = content[_START:]
    checksum = content[len(MAGIC) : _START]
    if len(rest) < _HEADER.size or checksum != struct.pack("<I", zlib.crc32(rest)):
        raise StageError(f"{name}: {len(content)} bytes with a wrong checksum; damaged or cut")
    header = Header(*_HEADER.unpack_from(rest))
    if header.format != FORMAT:
        raise StageError(f"{name}: format {header.format}; expected {FORMAT}")
    code = rest[_HEADER.size :]
    if len(code) % 4:
        raise StageError(f"{name}: {len(code)} bytes of code; expected words of 4 bytes")
    return header, code


def require_length(header: Header, code: bytes, name: object) -> None:
    """Raise StageError for more targets than a text that was not made for it has in such code.

    A target that is nearly certain costs almost nothing, so a hundred bytes can hold hours of
    work. Text costs bits per target, also where it repeats itself.
    """
    most = FREE_TARGETS + TARGETS_PER_BIT * 8 * len(code)
    if header.targets > most:
        raise StageError(
            f"{name}: {header.targets:,} targets in {len(code):,} bytes of code; expected at most "
            f"{most:,}, unless asked for with --any-length"
        )


def _row_sha256(settings: dict[str, Any]) -> bytes:
    text = json.dumps({key: settings[key] for key in ROW_KEYS}, sort_keys=True)
    return hashlib.sha256(text.encode()).digest()


def _beginning(sha256: str) -> bytes:
    return bytes.fromhex(sha256)[:8].ljust(8, b"\0")


def _dotted(versions: bytes) -> list[str]:
    parts = list(map(str, versions))
    return [".".join(parts[start : start + 3]) for start in range(0, len(parts), 3)]
