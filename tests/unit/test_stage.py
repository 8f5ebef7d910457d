"""The stage contract: atomic outputs, one-line errors, specs."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fairway.stage import (
    Progress,
    StageError,
    atomic_output,
    read_json,
    read_spec,
    require_file,
    sha256_of,
    write_json,
)
from support.corpus_samples import STAGES


def run_script(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    script = folder / "stage_under_test.py"
    script.write_text("from fairway.stage import *\n" + textwrap.dedent(body))
    environment = {**os.environ, "PYTHONPATH": str(STAGES)}
    return subprocess.run(
        [sys.executable, str(script)], cwd=folder, capture_output=True, text=True, env=environment
    )


def test_output_appears_whole_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "x.json"
    with atomic_output(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.suffix == ".json"
        written = temporary.stat().st_ino
    assert target.read_text() == "half"
    assert target.stat().st_ino == written  # renamed, not copied
    assert list(target.parent.iterdir()) == [target]


def test_failed_write_keeps_the_old_output(tmp_path: Path) -> None:
    target = tmp_path / "x.bin"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_output(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_names_the_output(tmp_path: Path, code: int) -> None:
    target = tmp_path / "x.bin"
    with pytest.raises(StageError, match=r"x\.bin: cannot write: "), atomic_output(target) as path:
        path.write_text("half")
        raise OSError(code, os.strerror(code))
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_the_system_are_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_output(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "no")


def test_full_disk_within_a_stage(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        run(lambda: write_json("large.json", ["x" * 10_000]))
        """,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "stage_under_test.py: error: large.json: cannot write: File too large\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["stage_under_test.py"]


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left, working, other = (
        tmp_path / f".{name}.tmp.npz"
        for name in (f"x.{gone.pid}", f"x.{os.getppid()}", f"xy.{gone.pid}")
    )
    for path in (left, working, other):
        path.write_bytes(b"half")
    with atomic_output(tmp_path / "x.npz") as temporary:
        temporary.write_bytes(b"whole")
    assert not left.exists(), "its process is gone"
    assert working.exists() and other.exists(), "another process's, and another file's"


def test_full_disk_outside_an_atomic_output(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        import errno
        def main():
            raise OSError(errno.ENOSPC, "No space left on device", "metrics.jsonl")
        run(main)
        """,
    )
    assert done.returncode == 2
    assert done.stderr.endswith("metrics.jsonl: cannot write: No space left on device\n")


def test_killed_stage_leaves_the_old_output(tmp_path: Path) -> None:
    target = tmp_path / "x.bin"
    target.write_text("old")
    done = run_script(
        tmp_path,
        """
        import os, signal
        with atomic_output("x.bin") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_error_is_one_line_and_exit_2(tmp_path: Path) -> None:
    done = run_script(tmp_path, "def main(): raise StageError('a\\nb')\nrun(main)")
    assert done.returncode == 2
    assert done.stderr == "stage_under_test.py: error: a b\n"


def test_programming_errors_keep_their_traceback(tmp_path: Path) -> None:
    done = run_script(tmp_path, "def main(): raise KeyError('x')\nrun(main)")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_spec_is_settings_and_the_hash_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    write_json(path, {"code": "c", "settings": {"a": 1}})
    spec = read_spec(path)
    assert spec.settings == {"a": 1}
    assert spec.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == sha256_of(path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"settings": 3}', "\xff"])
def test_damaged_spec_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(StageError, match=r"spec\.json: not "):
        read_spec(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    for read in (require_file, read_json, sha256_of):
        with pytest.raises(StageError, match="nothing: no such file"):
            read(tmp_path / "nothing")


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", float("nan"))
    assert list(tmp_path.iterdir()) == []
    write_json(tmp_path / "x.json", {"b": 1, "a": 2})
    assert list(json.loads((tmp_path / "x.json").read_text())) == ["b", "a"]


def test_progress_lines_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(1000, "tokens", interval=1e9)
    progress.update(400)
    assert capsys.readouterr().err == ""
    progress.update(600, "loss 1.5")
    progress.close()
    line = capsys.readouterr().err
    assert line.startswith("1,000/1,000 tokens, ")
    assert line.endswith(" tokens/s, 0 s left loss 1.5\n")
