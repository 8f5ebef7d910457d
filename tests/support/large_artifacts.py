"""Hostile artifacts of the contest's size, made in little time: as much as a reader lets in.

Sections that a case says nothing of are zeros. Code of the coder `ans` that has come to its end
goes on as zeros for ever, which costs a hostile file nothing.
"""

import json
import lzma
import math
import os
import resource
import time
from collections.abc import Callable, Sequence

import brotli
import constriction
import numpy as np
import zstandard

from fairway.artifact.coders.adaptive import Encoder
from fairway.artifact.coders.models import VERSIONS, Models
from fairway.artifact.coders.named import coder
from fairway.artifact.sections import Index
from fairway.files.compression import compress
from fairway.model.architecture import ModelConfig
from fairway.model.shapes import state_shapes
from fairway.stage import StageError
from golden.make_files import MODEL
from support.damage import artifact_of

NOISE = np.random.default_rng(5).bytes(15_000_000)
WIDE = 1 << 16
ROWS = 600  # of so many values each: half of what a file of 15 MB may hold
Put = tuple[str, int, Sequence[int]]  # what, context and symbols of a model


def index_of(bigram: str, others: str = "int8", **config: object) -> dict:
    """The index of a model; kinds of its bigram table, and of all other matrices."""
    made = ModelConfig(**(MODEL | {"value_embedding_layers": (), "lora_matrices": ()} | config))
    kinds = {name: others for name, shape in state_shapes(made).items() if len(shape) == 2}
    tensors = [
        [name, (kinds | {"bigram.embedding": bigram}).get(name, "float32"), list(shape)]
        for name, shape in state_shapes(made).items()
    ]
    return {"config": made.to_dict(), "tokenizer_sha256": "", "tensors": tensors}


def artifact(name: str, index: dict, **parts: bytes | tuple[int, bytes]) -> bytes:
    """An artifact whose sections are zeros but for `parts`: packed bytes, with another raw size
    than that of the tensors or without."""
    raw = json.dumps(index).encode()
    made = {"index": (len(raw), compress("lzma" if name == "ans" else name, raw))}
    tensors = tuple((key, kind, tuple(shape)) for key, kind, shape in index["tensors"])
    shapes = Index(index["config"], "", tensors).shapes()
    for section, of_section in shapes.items():
        size = coder(name).sizes(section, sum(map(math.prod, of_section)))[0]
        part = parts.get(section)
        if part is None:
            zeros = bytes(size) if section != "int6" else b"\x77" * size
            part = b"" if name == "ans" else packed(name, zeros)
        made[section] = part if isinstance(part, tuple) else (size, part)
    return artifact_of(name, made)


def packed(name: str, raw: bytes, times: int = 1) -> bytes:
    """So many times `raw` by a general compressor, quickly made and not its shortest."""
    if name == "brotli":
        return brotli.compress(raw * times, quality=1)
    if name == "zstd":
        return zstandard.ZstdCompressor(level=1).compress(raw * times)
    quick = {"id": lzma.FILTER_LZMA2, "preset": 0, "lc": 0}
    stream = lzma.compress(raw, lzma.FORMAT_RAW, filters=[quick])
    return stream[:-1] * times + stream[-1:]  # its chunks begin anew, and 0 ends them


def code(kind: str, *puts: Put, then: bytes = b"") -> bytes:
    """ANS code of these symbols, then of what these words happen to say, then zeros."""
    encoder, models = Encoder(), Models(kind, VERSIONS[2])
    for what, context, symbols in puts:
        encoder.put(np.asarray(symbols), models[what, context])
    result = constriction.stream.stack.AnsCoder(np.frombuffer(then, "<u4").astype(np.uint32))
    for symbols, frequencies in reversed(encoder._blocks):
        model = constriction.stream.model.Categorical(frequencies.astype(float), perfect=False)
        result.encode_reverse(symbols.astype(np.int32), model)
    return result.get_compressed().astype("<u4").tobytes()


def measured(work: Callable[[], object]) -> tuple[str, float, float]:
    """What a child process, forked, says of work: its StageError or `accepted`; the seconds of a
    processor; and the bytes by which its memory grew, all that compressors take included."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            before, begin = _peak(), time.process_time()
            try:
                work()
                message = "accepted"
            except StageError as error:
                message = str(error)
            found = message, time.process_time() - begin, _peak() - before
            os.write(writing, json.dumps(found).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    assert found, "another exception than StageError, or killed"
    return tuple(json.loads(found))


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
