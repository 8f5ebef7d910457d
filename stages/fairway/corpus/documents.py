"""Documents of a corpus, and their division into training and validation text.

Kinds, in `config.yaml` under `corpus`:
- `docstrings`: one document per docstring of the installed `packages`.
- `text`: `paths`, a list of files or patterns. A .jsonl file has one document per line, in the
  field "text". A .txt file is one document, unless `document_separator` is given, which then
  stands between its documents and belongs to none ("\\n\\n": paragraphs). Both may be .xz or .zst.
Blank documents are left out. Relative paths start at the working directory.
"""

import hashlib
import json
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import IO, Any

from fairway.corpus.compressed import COMPRESSIONS, open_compressed
from fairway.corpus.docstrings import package_docstrings
from fairway.stage import StageError, require_file

_SEPARATORS = ("\n\n", "\r\n\r\n", "\n")  # what a .txt is probably cut at


def load_split(settings: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Training and validation documents of a `docstrings` or `text` corpus, in order.

    settings: the `corpus` section. Raises StageError for unreadable input, and for fewer
    documents than `minimum_documents`.
    """
    if settings["kind"] == "docstrings":
        documents = package_docstrings(required(settings, "packages"))
    else:
        documents = _text_documents(settings)
    documents = [text for text in documents if text.strip()]
    try:
        check_count(len(documents), settings["minimum_documents"])
        return split(documents, settings["val_fraction"])
    except StageError as error:
        raise StageError(f"{error}{_separator_hint(settings, documents)}") from None


def _text_documents(settings: dict[str, Any]) -> list[str]:
    """All documents of a `text` corpus; StageError if its separator occurs in no .txt file."""
    separator = settings.get("document_separator")
    documents, cut, whole = [], 0, 0
    for path in expand_paths("corpus.paths", required(settings, "paths")):
        found = list(read_documents(path, separator))
        documents += found
        if _kind(path) == ".txt":
            whole, cut = whole + 1, cut + len(found) - 1
    if separator and whole and not cut:
        raise StageError(
            f"corpus.document_separator: {json.dumps(separator)} occurs in no .txt file of "
            f'corpus.paths ({whole}); expected what stands between documents (YAML reads "\\n" as '
            "a line's end in double quotes only)"
        )
    return documents


def _separator_hint(settings: dict[str, Any], documents: list[str]) -> str:
    """The value to write where .txt files, taken whole, are too few documents; else nothing."""
    if settings["kind"] != "text" or settings.get("document_separator"):
        return ""
    if all(_kind(path) != ".txt" for path in expand_paths("corpus.paths", settings["paths"])):
        return ""
    counts = {each: sum(text.count(each) for text in documents) for each in _SEPARATORS}
    enough = [each for each in counts if counts[each] >= settings["minimum_documents"]]
    separator = enough[0] if enough else max(counts, key=counts.__getitem__)
    if not counts[separator]:
        return ""
    return f"; to cut .txt files into documents, write document_separator: {json.dumps(separator)}"


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
            "(corpus.minimum_documents)"
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
    """Files named by paths or glob patterns, each pattern's in sorted order.

    A file that is named twice, be it by another path or a link, comes once, where it is first.
    Raises StageError, naming the config key, for a pattern that matches no file.
    """
    files: list[Path] = []
    seen: set[Hashable] = set()
    for pattern in patterns:
        path = Path(pattern)
        try:
            found = [path] if path.exists() else sorted(Path(path.anchor).glob(_relative(path)))
            matches = [match for match in found if match.is_file()]
        except (OSError, ValueError) as error:  # a name too long for a file, or a pattern "a**"
            raise StageError(f"{key}: {pattern}: {getattr(error, 'strerror', error)}") from None
        if not matches:
            raise StageError(f"{key}: {pattern}: no such file")
        for match in matches:
            if seen.isdisjoint(same := _identities(match)):
                files.append(match)
            seen |= same
    return files


def source_files(settings: dict[str, Any]) -> tuple[list[Path], dict[str, str]]:
    """Files that a corpus is made from; and patterns that name none, with a line for each.

    settings: the `corpus` section without other kinds' keys.
    """
    files, absent = [], {}
    for key in ("paths", "train_shards", "val_shards", "val_documents", "tokenizer"):
        named = settings.get(key) or []
        for pattern in [named] if isinstance(named, str) else named:
            try:
                files += expand_paths(f"corpus.{key}", [pattern])
            except StageError as error:
                absent[pattern] = str(error)
    return files, absent


def _identities(file: Path) -> set[Hashable]:
    """What all names of a file have in common: its resolved path, and its device and inode."""
    status = file.stat()
    inode = {(status.st_dev, status.st_ino)} if status.st_ino else set()  # some systems have none
    return {file.resolve(), *inode}


def _relative(path: Path) -> str:
    """A pattern without its root, since pathlib globs only below a folder."""
    return str(path.relative_to(path.anchor))


def read_documents(path: Path, separator: str | None = None) -> Iterator[str]:
    """Documents of a .txt or .jsonl file, which may also end in .xz or .zst.

    Raises StageError naming the file, and the line where there is one.
    """
    path = require_file(path)
    kind = _kind(path)
    if kind not in (".txt", ".jsonl"):
        raise StageError(f"{path}: not .txt or .jsonl; expected one, or with .xz or .zst behind")
    with open_compressed(path) if path.suffix in COMPRESSIONS else path.open("rb") as file:
        yield from _lines(path, file) if kind == ".jsonl" else _texts(path, file, separator)


def _kind(path: Path) -> str:
    """The ending that says what is in a file, whatever it is compressed with."""
    return (path.with_suffix("") if path.suffix in COMPRESSIONS else path).suffix


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
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise StageError(
                f'{path}: line {number}: expected a JSON object with a string "text" ({reason})'
            ) from None
        yield text
