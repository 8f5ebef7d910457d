"""Compiled code is kept on disk, and made anew when a function it calls changes elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fairway.kernels.compiled

IMPORT = "from fairway.kernels.compiled import compiled\n\n@compiled\n"
CALLEE = IMPORT + "def number():\n    return {}\n"
CALLER = (
    f"from fairway.counting.callee import number\n{IMPORT}def twice():\n    return 2 * number()\n"
)
PROGRAM = (
    "from fairway.counting.caller import twice\n"
    "print(twice(), sum(twice.stats.cache_hits.values()))"
)


@pytest.fixture
def library(tmp_path) -> Path:
    """A library of one function that calls another, and the decorator."""
    folder = tmp_path / "fairway"
    (folder / "kernels").mkdir(parents=True)
    (folder / "counting").mkdir()
    source = Path(fairway.kernels.compiled.__file__)
    shutil.copy(source, folder / "kernels")
    for file in source.parents[1].glob("*.py"):
        shutil.copy(file, folder)
    (folder / "counting" / "caller.py").write_text(CALLER)
    (folder / "counting" / "callee.py").write_text(CALLEE.format(21))
    return folder


def run_program(library: Path, program: str = PROGRAM, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=library.parent,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_change_in_another_file_is_noticed(library):
    assert run_program(library) == "42 0"
    assert run_program(library) == "42 1", "compiled again although nothing changed"
    (library / "counting" / "callee.py").write_text(CALLEE.format(50))
    assert run_program(library) == "100 0"


def test_where_nothing_can_be_kept_it_is_compiled_each_time(library):
    (library / "counting" / "__pycache__").write_text("no folder")
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}
    assert run_program(library, **nowhere) == "42 0"
    assert run_program(library, **nowhere) == "42 0"


def test_switched_off_compiler_is_one_line_and_no_program_of_hours(library):
    program = (
        f"from fairway.stage import run\ndef main():\n    {PROGRAM.splitlines()[0]}\n    twice()\n"
    )
    program += "try:\n    run(main)\nexcept SystemExit as end:\n    print(end.code)"
    assert run_program(library, program, NUMBA_DISABLE_JIT="1") == "2"
