"""Compiled code is kept on disk, and made anew when a function it calls changes elsewhere."""

import shutil
import subprocess
import sys
from pathlib import Path

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


def run_program(folder):
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return tuple(int(part) for part in done.stdout.split())


def test_a_change_in_another_file_is_noticed(tmp_path):
    library = tmp_path / "fairway"
    (library / "kernels").mkdir(parents=True)
    (library / "counting").mkdir()
    shutil.copy(Path(fairway.kernels.compiled.__file__), library / "kernels" / "compiled.py")
    (library / "counting" / "caller.py").write_text(CALLER)
    (library / "counting" / "callee.py").write_text(CALLEE.format(21))
    assert run_program(tmp_path) == (42, 0)
    assert run_program(tmp_path) == (42, 1), "compiled again although nothing changed"
    (library / "counting" / "callee.py").write_text(CALLEE.format(50))
    assert run_program(tmp_path) == (100, 0)
