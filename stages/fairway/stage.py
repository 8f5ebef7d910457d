"""What every stage shares: its flags, JSON files and atomic outputs.

Standard library only, so that importing it costs nothing.
"""

import argparse
import contextlib
import errno
import functools
import glob
import hashlib
import json
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairway import json_text

EXIT_BAD_INPUT = 2
LARGEST_JSON = 1 << 24  # bytes; values read take some 50 times as much
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MOST_LINKS = 40  # followed one behind the other, as the kernel does


class StageError(Exception):
    """Bad input, said in one line: the file or key, the value found, what was expected."""


def stage_parser(description: str, *paths: str) -> argparse.ArgumentParser:
    """The command line of a stage: a flag for each path that it must be told, and --provenance."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=raw)
    for path in paths:
        parser.add_argument(f"--{path}", type=Path, required=True)
    parser.add_argument("--provenance", type=Path, help="output: what it read and wrote")
    return parser


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote; StageError in one line if it is missing or damaged."""
    content = read_small(path)
    check_seal(content, path)
    value = parse_json(content, path)
    if not isinstance(value, dict) or json_text.SEAL not in value:
        raise StageError(f"{path}: not a JSON object with `{json_text.SEAL}`")
    del value[json_text.SEAL]
    return value


def check_seal(content: bytes, path: Path) -> None:
    """Raise StageError, naming the file, unless `content` ends as `sealed` made it end."""
    try:
        json_text.check_seal(content)
    except ValueError as error:
        raise StageError(f"{path}: damaged, {error}; delete it and run again") from None


def parse_json(content: bytes | str, name: object) -> Any:
    """The value of JSON text; StageError, beginning with `name`, for what is none."""
    try:
        return json_text.parse(content)
    except (ValueError, RecursionError) as error:
        raise StageError(f"{name}: not valid JSON ({error})") from None


def read_small(path: Path) -> bytes:
    """Content of a JSON file; StageError if it is missing or too large for one of ours."""
    with require_file(path).open("rb") as file:
        content = file.read(LARGEST_JSON + 1)
    if len(content) > LARGEST_JSON:
        raise StageError(f"{path}: more than {LARGEST_JSON} bytes; expected a small JSON file")
    return content


def require_file(path: Path) -> Path:
    """Return `path` if it is a file, else raise StageError."""
    path = Path(path)
    if not path.is_file():
        raise StageError(f"{path}: no such file")
    return path


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's content, read in pieces."""
    with require_file(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def naming_on_full_disk(path: Path) -> Iterator[None]:
    """Within, a full disk becomes a StageError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise StageError(f"{path}: cannot write: {error.strerror}") from None


@contextlib.contextmanager
def _naming_any_failure(path: Path) -> Iterator[None]:
    """Within, where nothing but writing `path` happens, any OSError becomes a StageError."""
    try:
        yield
    except OSError as error:
        raise StageError(f"{path}: cannot write: {error.strerror}") from None


def _follow(path: Path) -> tuple[Path, bool]:
    """What a path means, links followed, and whether it is written to as it is: a pipe, a
    character device, or an open file under its number (/dev/stdout). Else it is a file, or not
    there yet. Raises StageError for a folder or another kind.
    """
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            break
        folder = Path(os.path.realpath(path.parent))
        if folder.name == "fd" and folder.is_relative_to("/proc"):
            return path, True
        path = folder / path.readlink()
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path, False
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        found = "a folder" if stat.S_ISDIR(mode) else "a socket or a block device"
        raise StageError(f"{path}: is {found}; expected a file to write")
    return path, not stat.S_ISREG(mode)


@functools.cache
def _machine() -> str:
    """Eight hex digits for where process ids mean the same: this host, this container."""
    try:
        container = Path("/proc/self/ns/pid").readlink()
    except OSError:  # not on Linux
        container = Path()
    return hashlib.sha256(f"{platform.node()} {container}".encode()).hexdigest()[:8]


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` whose process was killed; other machines' stay."""
    start, end = f".{path.stem}.{_machine()}-", f".tmp{path.suffix}"
    for leftover in path.parent.glob(f"{glob.escape(start)}*{glob.escape(end)}"):
        try:
            os.kill(int(leftover.name.removeprefix(start).removesuffix(end)), 0)
        except ProcessLookupError:
            leftover.unlink(missing_ok=True)
        except (ValueError, OSError):
            continue  # not a temporary file of this path, or another user's process


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of a file, which then takes the file's place."""
    temporary = path.with_name(f".{path.stem}.{_machine()}-{os.getpid()}.tmp{path.suffix}")
    with _naming_any_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary.unlink(missing_ok=True)
        old = path.stat() if path.exists() else None
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        os.close(os.open(temporary, flags, 0o666 if old is None else 0o600))
    try:
        with naming_on_full_disk(path):
            yield temporary
        with _naming_any_failure(path):
            with temporary.open("rb+") as file:
                if old is not None:
                    with contextlib.suppress(PermissionError):  # only root gives files away
                        os.fchown(file.fileno(), old.st_uid, old.st_gid)
                    os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _filling(path: Path) -> Iterator[Path]:
    """Yield a temporary path elsewhere, whose content then goes into a pipe or a device."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / path.name
        yield temporary
        with (
            _naming_any_failure(path),
            temporary.open("rb") as content,
            os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb") as output,
        ):
            shutil.copyfileobj(content, output)


@contextlib.contextmanager
def atomic_output(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success what was written there becomes the content of `path`.

    The temporary file lies in the folder of `path`, is synced and takes its place at once. On any
    exception it is removed and `path` is left as it was; a killed process leaves at most the
    temporary file, whose name begins with a dot, until `path` is written again. Its name keeps
    the suffix, since some writers (numpy) append one. Links are followed, and a file that is
    replaced leaves its mode and owner. Pipes and devices, which cannot be replaced, are written
    to once the content is whole. Raises StageError if `path` cannot be written.
    """
    with _naming_any_failure(path):
        target, stays = _follow(Path(path))
    with _filling(target) if stays else _replacing(target) as temporary:
        yield temporary


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as JSON with its checksum, atomically, keys in their given order."""
    with atomic_output(path) as temporary:
        temporary.write_text(json_text.sealed(json.dumps(value, indent=1, allow_nan=False)))
