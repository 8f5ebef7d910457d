"""Compiled code is kept on disk, and made anew when a function it calls changes elsewhere."""

import shutil
import subprocess
import sys
from pathlib import Path

import fairway.compiled

CALLEE = "from fairway.compiled import compiled\n\n@compiled\ndef number():\n    return {}\n"
CALLER = (
    "from fairway.callee import number\nfrom fairway.compiled import compiled\n\n"
    "@compiled\ndef twice():\n    return 2 * number()\n"
)
PROGRAM = "from fairway.caller import twice; print(twice(), sum(twice.stats.cache_hits.values()))"


def run_program(folder):
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return tuple(int(part) for part in done.stdout.split())


def test_a_change_in_another_file_is_noticed(tmp_path):
    library = tmp_path / "fairway"
    library.mkdir()
    shutil.copy(Path(fairway.compiled.__file__), library / "compiled.py")
    (library / "caller.py").write_text(CALLER)
    (library / "callee.py").write_text(CALLEE.format(21))
    assert run_program(tmp_path) == (42, 0)
    assert run_program(tmp_path) == (42, 1), "compiled again although nothing changed"
    (library / "callee.py").write_text(CALLEE.format(50))
    assert run_program(tmp_path) == (100, 0)
