"""Code of this project as it would be shipped: one Python file that runs by itself.

A bundle is the loader (`unbundle.py`) and, behind it, one call with what it is to start:

    start(__file__, "code-…", "…", "codec", {"row": …})

The second text is LZMA, in base 85, of a JSON object: source by name under stages/, each file
without comments, docstrings and formatting. Equal code gives equal bytes. It needs Python and the
installed packages that the code imports, and nothing else of this project.
"""

import base64
import json
import lzma
from pathlib import Path
from typing import Any

from fairway import unbundle
from fairway.closure import STAGES, canonical_source, import_closure

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lp": 0, "pb": 0}]


def code_files(scripts: tuple[str, ...], left_out: frozenset[Path] = frozenset()) -> list[Path]:
    """The project's files that these scripts of stages/ import, themselves included, sorted.

    left_out: files that are never imported, nor what only they import.
    """
    closures = (import_closure(STAGES / script, STAGES, left_out) for script in scripts)
    return sorted({file for closure in closures for file in closure})


def name_in_bundle(file: Path) -> str:
    """A file's name under stages/, as it is unpacked."""
    return file.relative_to(STAGES).as_posix()


def bundle(files: list[Path], entry: str | None, *values: Any) -> bytes:
    """The bundle of some code. It starts `start(*values)` of the module `entry`; None: nothing.

    values: plain ones, as JSON has them.
    """
    sources = {name_in_bundle(file): canonical_source(file) + "\n" for file in files}
    content = json.dumps(sources, separators=(",", ":")).encode()
    packed = base64.b85encode(lzma.compress(content, filters=_FILTERS)).decode()
    given = ", ".join(map(repr, (unbundle.folder_name(content), packed, entry, *values)))
    loader = canonical_source(Path(unbundle.__file__))
    return f"{loader}\nif __name__ == '__main__':\n    start(__file__, {given})\n".encode()
