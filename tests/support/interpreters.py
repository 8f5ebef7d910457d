"""A Python beside this one, with what is to reach jobs: their environment is a clean one."""

import site
import venv
from collections.abc import Iterable
from pathlib import Path


def interpreter_with(folder: Path, code: str = "", packages: Iterable[Path] = ()) -> Path:
    """A new environment in `folder` with this one's packages and those of more folders.

    code: what each start of it runs first, jobs included. Returns its interpreter.
    """
    venv.create(folder, symlinks=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "others.pth").write_text(
        "".join(f"{f}\n" for f in (*packages, *site.getsitepackages()))
    )
    (own / "sitecustomize.py").write_text(code)
    return folder / "bin" / "python"
