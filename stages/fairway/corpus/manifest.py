"""The corpus as the other stages see it: its manifest, its shards and the bytes per target.

`manifest.json` lists the tokenizer, the training shards and the validation shard with their
sizes and SHA-256. Files inside the manifest's folder are named relative to it, others (given
shards) absolutely. No tokenizer is needed here, so importing this is cheap.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from fairway.corpus.shards import HEADER_BYTES, read_shard
from fairway.files.arrays import Layout, load_array
from fairway.files.records import Natural, Positive, Within, build
from fairway.stage import StageError, read_json, require_file, sha256_of, write_json


@dataclass(frozen=True)
class TokenizerFile:
    """The tokenizer model all shards were made with."""

    file: str
    sha256: str


@dataclass(frozen=True)
class ShardFile:
    """A token shard: its name, its number of tokens and the SHA-256 of the file."""

    file: str
    tokens: Positive
    sha256: str


@dataclass(frozen=True)
class TrainText:
    """The training side: documents and tokens over all shards."""

    documents: Natural
    tokens: Natural
    shards: tuple[ShardFile, ...]


@dataclass(frozen=True)
class ValText:
    """The validation side: one shard of targets+1 tokens.

    bytes: of the text that the tokens give back, which bits per byte are divided by; the sum of
    val_bytes.npy. original_bytes: of the text they were made from, None if that is not known.
    text: "original" if both are the same byte for byte, else "decoded". sha256, bytes_sha256,
    text_sha256: of the shard, of val_bytes.npy, and of val_text.bin, which is the text given back,
    a NUL byte between documents.
    """

    documents: Positive
    tokens: Positive
    targets: Positive
    bytes: Positive
    original_bytes: Natural | None
    text: Literal["original", "decoded"]
    file: str
    sha256: str
    bytes_sha256: str
    text_sha256: str

    @property
    def text_is_lost(self) -> bool:
        """Whether the original is known and the tokens give back another text."""
        return self.text != "original" and self.original_bytes is not None


@dataclass(frozen=True)
class Overlap:
    """How much of the validation text stands in the training text (`fairway.corpus.overlap`).

    runs: of the validation text, of run_tokens each, and how many of them occur in the training
    text. documents_with_runs: documents that have any; documents_mostly: those more than half of
    whose runs occur in the training text. duplicates: documents that are a training document as
    well; duplicate_documents: numbers, from 0, of the first of them. repeated: documents that are
    an earlier document of the validation text again, which a cache then knows.
    """

    run_tokens: Positive
    runs: Natural
    runs_in_training: Natural
    documents_with_runs: Natural
    documents_mostly: Natural
    duplicates: Natural
    duplicate_documents: tuple[Natural, ...]
    repeated: Natural = 0

    def in_words(self) -> str:
        """The overlap as a sentence."""
        share = self.runs_in_training / max(self.runs, 1)
        copies = f"{self.duplicates:,} documents are copies of training documents"
        if self.duplicates == 1:
            copies = "1 document is the copy of a training document"
        if self.repeated:
            copies += f", {self.repeated:,} of an earlier validation document"
        return (
            f"{share:.1%} of the validation text's runs of {self.run_tokens} tokens occur in the "
            f"training text, as do more than half of the runs of {self.documents_mostly:,} of its "
            f"{self.documents_with_runs:,} documents that have any; {copies}."
        )


@dataclass(frozen=True)
class Manifest:
    """Contents of manifest.json; `folder` is where it lies and is not written.

    overlap: of the validation text with the training text, None where it was not measured.
    """

    spec: str
    kind: str
    vocabulary: Annotated[int, Within(1, 1 << 16)]
    tokenizer: TokenizerFile
    train: TrainText
    val: ValText
    folder: Path
    overlap: Overlap | None = None

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read a manifest; shards are checked when they are asked for, not here.

        Raises StageError, naming the file, if a field is missing or inconsistent.
        """
        path = Path(path)
        manifest = build(cls, read_json(path) | {"folder": path.parent}, path)
        manifest._check_sums(path)
        return manifest

    def _check_sums(self, path: Path) -> None:
        val, train = self.val, self.train
        if val.targets != val.tokens - 1:
            raise StageError(f"{path}: {val.targets} val targets; expected {val.tokens - 1}")
        if sum(shard.tokens for shard in train.shards) != train.tokens:
            raise StageError(f"{path}: train.tokens {train.tokens} is not the sum over its shards")

    def save(self, path: Path) -> None:
        """Write as JSON, atomically."""
        value: dict[str, Any] = asdict(self)
        del value["folder"]
        write_json(path, value)

    def path_of(self, file: str) -> Path:
        """Path of a file named in the manifest."""
        return self.folder / file

    def train_shards(self) -> list[Path]:
        """Paths of the training shards, in order; each is there and has the right size."""
        return [_check_size(self.path_of(shard.file), shard.tokens) for shard in self.train.shards]

    def read_train(self, threads: int, checked: bool = False) -> list[np.ndarray]:
        """Map the training shards, in order: uint16 (tokens,) each.

        Their SHA-256 is compared with the manifest's: 1.6 s per GB and thread. checked: another
        process of this job has done so. Raises StageError if a file is damaged or is another.
        """
        paths = self.train_shards()
        digests = [shard.sha256 for shard in self.train.shards]
        if not checked:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(_check_sha256, paths, digests))
        return [read_shard(path) for path in paths]

    @property
    def val_path(self) -> Path:
        """Path of the validation shard, which is there and has the right size."""
        return _check_size(self.path_of(self.val.file), self.val.tokens)

    def read_val(self, path: Path) -> np.ndarray:
        """Map the validation shard at `path`: uint16 (targets+1,).

        Its SHA-256 is compared with the manifest's: a tenth of a second per 100 MB.
        Raises StageError if the file is damaged or is not the one the manifest names.
        """
        tokens = read_shard(path, self.vocabulary)
        if len(tokens) != self.val.tokens:
            raise StageError(f"{path}: {len(tokens)} tokens; the manifest has {self.val.tokens}")
        _check_sha256(path, self.val.sha256)
        return tokens

    def read_val_text(self, path: Path) -> bytes:
        """Read the text that the validation shard gives back.

        Raises StageError if it is not the one that the manifest names.
        """
        _check_sha256(path, self.val.text_sha256)
        return Path(path).read_bytes()

    def read_val_bytes(self, path: Path) -> np.ndarray:
        """Read the bytes per target: uint16 (targets,), target j at index j-1.

        Raises StageError unless shape, type, SHA-256 and sum are the manifest's.
        """
        values = load_array(path, Layout("uint16", (self.val.targets,)))
        _check_sha256(path, self.val.bytes_sha256)
        total = int(values.sum(dtype=np.int64))
        if total != self.val.bytes:
            raise StageError(f"{path}: {total} bytes; the manifest has {self.val.bytes}")
        return values


def name_in(folder: Path, file: Path) -> str:
    """How a manifest in `folder` names `file`: relative if inside, else absolute."""
    folder, file = Path(folder).resolve(), Path(file).resolve()
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)


def shard_files(folder: Path, files: Iterable[tuple[Path, int]]) -> tuple[ShardFile, ...]:
    """Describe shards, given as (path, tokens), for a manifest in `folder`."""
    return tuple(
        ShardFile(name_in(folder, file), tokens, sha256_of(file)) for file, tokens in files
    )


def _check_size(path: Path, tokens: int) -> Path:
    size, expected = require_file(path).stat().st_size, HEADER_BYTES + 2 * tokens
    if size != expected:
        raise StageError(f"{path}: {size} bytes; {tokens} tokens need {expected} (truncated?)")
    return path


def _check_sha256(path: Path, expected: str) -> None:
    found = sha256_of(path)
    if found != expected:
        raise StageError(f"{path}: SHA-256 {found[:12]}…; the manifest has {expected[:12]}…")
