"""Compiled code is kept on disk, and made anew when what it uses of other files changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fairway.kernels.compiled

IMPORT = "from fairway.kernels.compiled import compiled\n\n@compiled\n"
CALLEE = IMPORT + "def number():\n    return {}\n"
CONSTANT = "VALUE = {}\n"
CALLER = (
    "from fairway.counting.callee import number\n"
    f"from fairway.counting.constant import VALUE\n{IMPORT}"
    "def twice():\n    return 2 * number() + VALUE\n"
)
PAIR = (
    "from typing import NamedTuple\n\nclass Pair(NamedTuple):\n    left: int\n    right: int\n\n"
)
PROGRAM = (
    "from fairway.counting.caller import twice\n"
    "print(twice(), sum(twice.stats.cache_hits.values()))"
)


@pytest.fixture
def library(tmp_path) -> Path:
    """A function, what it uses (another one and a constant, each in a file), the decorator."""
    folder = tmp_path / "fairway"
    (folder / "kernels").mkdir(parents=True)
    (folder / "counting").mkdir()
    source = Path(fairway.kernels.compiled.__file__)
    shutil.copy(source, folder / "kernels")
    for file in source.parents[1].glob("*.py"):
        shutil.copy(file, folder)
    (folder / "counting" / "caller.py").write_text(CALLER)
    (folder / "counting" / "callee.py").write_text(CALLEE.format(21))
    (folder / "counting" / "constant.py").write_text(CONSTANT.format(0))
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


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [("callee.py", CALLEE.format(50), "100 0"), ("constant.py", CONSTANT.format(1), "43 0")],
)
def test_a_change_in_another_file_is_noticed(library, name, text, expected):
    file = library / "counting" / name
    assert run_program(library) == "42 0"
    file.write_text(f"# a remark\n{file.read_text()}")
    assert run_program(library) == "42 1", "compiled again although nothing changed"
    file.write_text(text)
    assert run_program(library) == expected


def test_bundles_share_what_was_compiled_of_the_same_code(library):
    """As unpacked: the folder's name tells, and each has a hash of its own."""
    unpacked = [library.parent / "cache" / f"code-{digit}" / "fairway" for digit in "123"]
    for folder in unpacked:
        shutil.copytree(library, folder)
    (unpacked[1] / "counting" / "unused.py").write_text("VALUE = 1\n")
    (unpacked[2] / "counting" / "constant.py").write_text(CONSTANT.format(1))
    assert [run_program(folder) for folder in unpacked] == ["42 0", "42 1", "43 0"]


def test_where_nothing_can_be_kept_it_is_compiled_each_time(library):
    (library / "counting" / "__pycache__").write_text("no folder")
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null"}
    assert run_program(library, **nowhere) == "42 0"
    assert run_program(library, **nowhere) == "42 0"


@pytest.mark.parametrize(
    ("ending", "damage"),
    [
        ("nbi", lambda content: content.replace(b"Pair", b"Twin")),
        ("nbi", lambda content: content[: len(content) // 2]),
        ("nbc", lambda content: content[: len(content) // 2]),
    ],
    ids=["of a class that is gone", "an index cut short", "code cut short"],
)
def test_what_was_kept_and_cannot_be_read_is_compiled_anew(library, ending, damage):
    caller = library / "counting" / "caller.py"
    caller.write_text(PAIR + caller.read_text().replace("twice()", "twice(pair)"))
    program = PROGRAM.replace("twice\n", "Pair, twice\n").replace("twice()", "twice(Pair(1, 2))")
    assert run_program(library, program) == "42 0"
    kept = list((library / "counting" / "__pycache__").glob(f"caller.twice-*.{ending}"))
    assert len(kept) == 1
    kept[0].write_bytes(damage(kept[0].read_bytes()))
    assert run_program(library, program) == "42 0"
    assert run_program(library, program) == "42 1", "not kept again"


def test_switched_off_compiler_is_one_line_and_no_program_of_hours(library):
    program = (
        f"from fairway.start import run\ndef main():\n    {PROGRAM.splitlines()[0]}\n    twice()\n"
    )
    program += "try:\n    run(main)\nexcept SystemExit as end:\n    print(end.code)"
    assert run_program(library, program, NUMBA_DISABLE_JIT="1") == "2"
