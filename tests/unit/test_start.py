"""Ctrl-C while a script imports what it needs: nothing is said, and it ends as interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STAGES = Path(__file__).resolve().parents[2] / "stages"
SLOW = """
import pathlib, time
pathlib.Path({marker!r}).touch()
time.sleep(60)
"""
LIGHT = {"fetch_corpus", "pack_row", "write_specs"}  # import nothing that takes long
SCRIPTS = sorted({path.stem for path in STAGES.glob("*.py")} - LIGHT)


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A folder whose numpy and torch take a minute to import, and leave a file when they begin."""
    folder = tmp_path / "slow"
    folder.mkdir()
    for name in ("numpy", "torch", "pandas", "numba"):
        (folder / f"{name}.py").write_text(SLOW.format(marker=str(tmp_path / "begun")))
    return folder


@pytest.mark.parametrize("script", SCRIPTS)
def test_interrupted_import_is_silent(script: str, slow: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(slow)}
    command = [sys.executable, str(STAGES / f"{script}.py")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}

    def heed() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        command, env=environment, text=True, preexec_fn=heed, cwd=slow.parent, **pipes
    )
    begun, end = slow.parent / "begun", time.monotonic() + 60
    while not begun.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert (output, process.returncode) == ("", -signal.SIGINT)  # 130 to a shell


def test_scripts_that_import_nothing_slow_do_not() -> None:
    """What is left out above."""
    program = "import sys, {name}; print(int('numpy' in sys.modules or 'torch' in sys.modules))"
    for name in sorted(LIGHT):
        command = [sys.executable, "-c", program.format(name=name)]
        done = subprocess.run(command, cwd=STAGES, capture_output=True, text=True, check=True)
        assert done.stdout == "0\n", name
