"""The stage contract: atomic outputs, one-line errors, specs."""

import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import IO

import pytest

from fairway import stage
from fairway.progress import Progress
from fairway.stage import (
    StageError,
    atomic_output,
    parse_json,
    read_json,
    require_file,
    sha256_of,
    write_json,
)
from support.corpus_samples import STAGES


def run_script(
    folder: Path, body: str, stdout: int | IO[str] = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    script = folder / "stage_under_test.py"
    script.write_text(
        "from fairway.stage import *\nfrom fairway.start import run\n" + textwrap.dedent(body)
    )
    environment = {**os.environ, "PYTHONPATH": str(STAGES)}
    command = [sys.executable, str(script)]
    streams = {"stdout": stdout, "stderr": subprocess.PIPE}
    return subprocess.run(command, cwd=folder, text=True, env=environment, **streams)


def test_interrupted_stage_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    body = """
        import os, signal
        def main():
            with atomic_output("x.bin") as temporary:
                temporary.write_text("half")
                os.kill(os.getpid(), signal.SIGINT)
        run(main)
        """
    done = run_script(tmp_path, body)
    assert done.returncode == 130
    assert done.stderr == "stage_under_test.py: error: interrupted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["stage_under_test.py"]


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


def test_other_errors_while_writing_are_not_taken_for_the_outputs(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_output(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "no")


def test_what_is_replaced_leaves_its_mode_and_owner(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    if os.getuid() == 0:
        os.chown(target, 12345, 54321)
    target.chmod(0o640)
    before = target.stat()
    with atomic_output(target) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600, "closed until it has the right owner"
        temporary.write_text("new")
    after = target.stat()
    assert target.read_text() == "new" and after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid,
    )  # fmt: skip


def test_a_new_file_has_the_mode_of_any_other(tmp_path: Path) -> None:
    for path in (tmp_path / "ours", tmp_path / "x"):
        with atomic_output(path) as temporary:
            temporary.write_text("new")
    (tmp_path / "other").write_text("new")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("there", [True, False])
def test_links_are_followed(tmp_path: Path, there: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere/x.txt", tmp_path / "deep/link.txt"
    link.parent.mkdir()
    if there:
        target.write_text("old")
    (tmp_path / "between").symlink_to("elsewhere/x.txt")
    link.symlink_to("../between")
    with atomic_output(link) as temporary:
        temporary.write_text("new")
        assert temporary.parent.samefile(target.parent)
    assert link.is_symlink() and (tmp_path / "between").is_symlink()
    assert target.read_text() == "new" and not target.is_symlink()
    assert len(list(tmp_path.rglob("*"))) == 5, "nothing temporary"


def test_a_pipe_gets_the_content_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_output(pipe) as temporary:
        temporary.write_bytes(b"whole")
    assert os.read(reader, 10) == b"whole"
    os.close(reader)
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_a_failed_write_sends_nothing_into_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ZeroDivisionError), atomic_output(pipe) as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    device = Path("/dev/null")
    if os.getuid() == 0:  # who could replace that one
        device = tmp_path / "null"
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    try:
        with atomic_output(device) as temporary:
            temporary.write_bytes(b"whole")
    except StageError:
        pytest.skip("no devices in the temporary folder")
    assert device.is_char_device() and device.read_bytes() == b""


@pytest.mark.parametrize("mode", ["w", "a"])
def test_an_open_file_is_written_where_it_is(tmp_path: Path, mode: str) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")  # what /dev/stdout is
    body = """
        with atomic_output("stdout") as temporary:
            temporary.write_text("whole\\n")
        """
    with log.open(mode) as file:
        assert run_script(tmp_path, body, stdout=file).returncode == 0
    assert log.read_text() == ("before\nwhole\n" if mode == "a" else "whole\n")


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    wrong = {
        ".": "is a folder; expected a file",
        "file/x": "cannot write: Not a directory",
        "loop": "cannot write: Too many levels of symbolic links",
        "x" * 300: "cannot write: File name too long",
    }
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name, expected in {**wrong, "socket": "a socket or a block device"}.items():
            with pytest.raises(StageError, match=expected), atomic_output(tmp_path / name):
                pytest.fail("there is nothing to write to")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "loop", "socket"}


def test_full_disk_within_a_stage(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        run(lambda: write_json("large.json", {"x": "x" * 10_000}))
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
    with atomic_output(tmp_path / "x.npz") as temporary:
        here = temporary.name.split(".")[2].removesuffix(f"-{os.getpid()}")
        temporary.write_bytes(b"old")
    left, working, other, elsewhere = (
        tmp_path / f".{name}.tmp.npz"
        for name in (
            f"x.{here}-{gone.pid}", f"x.{here}-{os.getppid()}", f"xy.{here}-{gone.pid}",
            f"x.00000000-{gone.pid}",
        )
    )  # fmt: skip
    for path in (left, working, other, elsewhere):
        path.write_bytes(b"half")
    with atomic_output(tmp_path / "x.npz") as temporary:
        temporary.write_bytes(b"whole")
    assert not left.exists(), "its process is gone"
    assert working.exists() and other.exists(), "another process's, and another file's"
    assert elsewhere.exists(), "a process of another machine, about which ours says nothing"


def test_temporary_names_differ_between_hosts_and_between_containers(
    tmp_path, monkeypatch
) -> None:
    names = set()
    for host, container in (("a", "pid:[1]"), ("b", "pid:[1]"), ("a", "pid:[2]")):
        monkeypatch.setattr(stage.platform, "node", lambda host=host: host)
        monkeypatch.setattr(stage.Path, "readlink", lambda path, of=container: Path(of))
        stage._machine.cache_clear()
        with atomic_output(tmp_path / "x") as temporary:
            names.add(temporary.name)
    monkeypatch.undo()
    stage._machine.cache_clear()
    assert len(names) == 3


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


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("open('secret/absent')", "secret/absent: No such file or directory"),
        ("open('.')", ".: Is a directory"),
        ("raise OSError(errno.EIO, 'Input/output error')", "Input/output error"),
        ("raise TimeoutError", "TimeoutError"),
    ],
)
def test_what_the_system_refuses_is_one_line(tmp_path: Path, body: str, line: str) -> None:
    done = run_script(tmp_path, f"import errno\ndef main(): {body}\nrun(main)")
    assert (done.returncode, done.stderr) == (2, f"stage_under_test.py: error: {line}\n")


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


def test_missing_file_is_named(tmp_path: Path) -> None:
    for read in (require_file, read_json, sha256_of):
        with pytest.raises(StageError, match="nothing: no such file"):
            read(tmp_path / "nothing")


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []
    write_json(tmp_path / "x.json", {"b": 1, "a": 2})
    assert list(json.loads((tmp_path / "x.json").read_text())) == ["b", "a", "file_sha256"]
    assert list(read_json(tmp_path / "x.json")) == ["b", "a"]


def test_json_file_is_read_back_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": [1, 2.5], "b": {"c": None}})
    content = path.read_bytes()
    assert read_json(path) == {"a": [1, 2.5], "b": {"c": None}}
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(StageError, match=r"x\.json: damaged"):
                read_json(path)
    path.write_bytes(content[:-5])
    with pytest.raises(StageError, match=r"x\.json: damaged, does not end with its `file_sha"):
        read_json(path)


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", "[Infinity]", '{"a": 1e999}', "[" * 100_000, '{"a": 1, "a": 2}'),
        *(str(1 << 64), "9" * 5000, "\xff", "'a'", '{"a": 1} 2'),
    ],
)
def test_what_is_no_json_is_one_line(text: str) -> None:
    with pytest.raises(StageError, match=r"^x: not valid JSON \("):
        parse_json(text.encode("latin-1"), "x")


def test_progress_lines_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(1000, "tokens", interval=1e9)
    progress.update(400)
    assert capsys.readouterr().err == ""
    progress.update(600, "loss 1.5")
    progress.close()
    line = capsys.readouterr().err
    assert line.startswith("1,000/1,000 tokens, ")
    assert line.endswith(" tokens/s, 0 s left loss 1.5\n")
