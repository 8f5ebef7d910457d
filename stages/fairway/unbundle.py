"""The small loader that a bundle ends in: unpacks the code and starts it.

It stands alone in a bundle as plain text, so it imports nothing of this project. Code is unpacked
into the user's cache folder, or beside the bundle where that cannot be written. Bundles of the
same code share a folder, and all of them what numba compiles (`kernels/compiled.py`). A file that
is there already is left alone if it is the bundle's, else replaced.
"""

import base64
import contextlib
import hashlib
import importlib
import json
import lzma
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def start(bundle: str, folder: str, packed: str, entry: str | None, *values: Any) -> None:
    """Unpack, and call `start(*values)` of the module `entry`, if there is one.

    bundle: path of the file that this is called from; folder: what `packed` unpacks to, named by
    its hash. What is damaged or cannot be written is said in one line, and exits with 2.
    """
    try:
        place = unpack(packed, folder, (cache_folder(), Path(bundle).resolve().parent))
    except (OSError, RuntimeError, ValueError, lzma.LZMAError) as error:
        print(f"{Path(bundle).name}: error: cannot unpack: {error}", file=sys.stderr)
        sys.exit(2)
    if entry is None:
        print(f"{place}: unpacked; it has no decoder")
        return
    sys.path.insert(0, str(place))
    importlib.import_module(entry).start(*values)


def cache_folder() -> Path:
    """Where a user's programs keep what they can make again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "fairway")


def unpack(packed: str, folder: str, places: Sequence[Path]) -> Path:
    """Write the files of a bundle into a folder in the first of these places that can be written.

    Raises ValueError or LZMAError if they are not what it was made of, OSError if none can be.
    """
    content = lzma.decompress(base64.b85decode(packed))
    if folder_name(content) != folder:
        raise ValueError(f"damaged; expected the content of {folder}")
    files = json.loads(content)
    for place in places[:-1]:
        with contextlib.suppress(OSError):
            return write_files(files, place / folder)
    return write_files(files, places[-1] / folder)


def write_files(files: dict[str, str], folder: Path) -> Path:
    """Make the folder hold these files, sources by name; each is replaced at once."""
    for name, text in files.items():
        path, source = folder / name, text.encode()
        if path.is_file() and path.read_bytes() == source:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_bytes(source)
        temporary.replace(path)
    return folder


def folder_name(content: bytes) -> str:
    """Where code is unpacked: a name with its hash."""
    return f"code-{hashlib.sha256(content).hexdigest()[:16]}"
