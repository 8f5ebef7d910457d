"""Documents of a corpus, and their division into training and validation text.

Kinds, in `config.yaml` under `corpus`:
- `docstrings`: one document per docstring of the installed `packages`.
- `text`: `paths`, a list of files or patterns. A .jsonl file has one document per line, in the
  field "text". A .txt file is one document, unless `document_separator` is given, which then
  stands between its documents and belongs to none ("\\n\\n": paragraphs). Both may be .xz or .zst.
Blank documents are left out. Relative paths start at the working directory.
"""

import hashlib
import io
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from fairway.corpus.docstrings import package_docstrings
from fairway.stage import StageError, require_file

_COMPRESSIONS = (".xz", ".zst")
_DAMAGE = (lzma.LZMAError, zstandard.ZstdError, EOFError)


def load_split(settings: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Training and validation documents of a `docstrings` or `text` corpus, in order.

    settings: the `corpus` section. Raises StageError for unreadable input, and for fewer
    documents than `minimum_documents`.
    """
    if settings["kind"] == "docstrings":
        documents = package_docstrings(required(settings, "packages"))
    else:
        separator = settings.get("document_separator")
        paths = expand_paths("corpus.paths", required(settings, "paths"))
        documents = [text for path in paths for text in read_documents(path, separator)]
    documents = [text for text in documents if text.strip()]
    check_count(len(documents), settings["minimum_documents"])
    return split(documents, settings["val_fraction"])


def required(settings: dict[str, Any], key: str) -> Any:
    """The value of `corpus.key`; StageError if it is absent or empty."""
    if not settings.get(key):
        raise StageError(f"corpus.{key}: missing; corpus.kind {settings['kind']} needs it")
    return settings[key]


def check_count(documents: int, minimum: int) -> None:
    """Raise StageError if there are fewer documents than the corpus must have."""
    if documents < minimum:
        raise StageError(
            f"corpus: {documents} documents; expected at least {minimum} "
            "(corpus.minimum_documents; for .txt see corpus.document_separator)"
        )


def split(documents: list[str], val_fraction: float) -> tuple[list[str], list[str]]:
    """Divide documents by the SHA-256 of their text; both sides are in the order of that hash.

    So the division and the order depend on the texts alone, equal texts fall on the same side,
    and a document added moves no other one across. Raises StageError if a side is empty.
    """
    keyed = sorted((hashlib.sha256(text.encode()).digest(), text) for text in documents)
    limit = int(val_fraction * 2**64)
    val = [text for key, text in keyed if int.from_bytes(key[:8]) < limit]
    train = [text for _, text in keyed[len(val) :]]
    if not (train and val):
        raise StageError(
            f"corpus.val_fraction: {val_fraction} of {len(documents)} documents leaves "
            f"{len(train)} for training and {len(val)} for validation; expected some in both"
        )
    return train, val


def expand_paths(key: str, patterns: list[str]) -> list[Path]:
    """Files named by paths or glob patterns, each pattern's in sorted order, none twice.

    Raises StageError, naming the config key, for one that matches no file.
    """
    files: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        found = [path] if path.exists() else sorted(Path(path.anchor).glob(_relative(path)))
        matches = [match for match in found if match.is_file()]
        if not matches:
            raise StageError(f"{key}: {pattern}: no such file")
        files.update(dict.fromkeys(matches))
    return list(files)


def _relative(path: Path) -> str:
    """A pattern without its root, since pathlib globs only below a folder."""
    return str(path.relative_to(path.anchor))


def read_documents(path: Path, separator: str | None = None) -> Iterator[str]:
    """Documents of a .txt or .jsonl file, which may also end in .xz or .zst.

    Raises StageError naming the file, and the line where there is one.
    """
    path = Path(path)
    compression = path.suffix if path.suffix in _COMPRESSIONS else ""
    kind = Path(path.name.removesuffix(compression)).suffix
    if kind not in (".txt", ".jsonl"):
        raise StageError(f"{path}: not .txt or .jsonl; expected one, or with .xz or .zst behind")
    try:
        with _opened(require_file(path), compression) as file:
            yield from _lines(path, file) if kind == ".jsonl" else _texts(path, file, separator)
    except _DAMAGE as error:
        raise StageError(f"{path}: damaged {compression} file ({error})") from None


def _opened(path: Path, compression: str) -> IO[bytes]:
    if compression == ".xz":
        return lzma.open(path)
    return io.BytesIO(_zstd_content(path.read_bytes())) if compression else path.open("rb")


def _zstd_content(compressed: bytes) -> bytes:
    """Content of all frames; zstandard's own reader takes a cut frame for the end."""
    parts = []
    while compressed:
        frame = zstandard.ZstdDecompressor().decompressobj()
        parts.append(frame.decompress(compressed))
        if not frame.eof:
            raise EOFError("ends within a frame")
        compressed = frame.unused_data
    return b"".join(parts)


def _texts(path: Path, file: IO[bytes], separator: str | None) -> list[str]:
    try:
        text = file.read().decode()
    except UnicodeDecodeError as error:
        raise StageError(f"{path}: not UTF-8 at byte {error.start}") from None
    return text.split(separator) if separator else [text]


def _lines(path: Path, file: IO[bytes]) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
            text.encode()
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise StageError(
                f'{path}: line {number}: expected a JSON object with a string "text" ({reason})'
            ) from None
        yield text
