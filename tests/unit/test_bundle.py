"""Bundles: code of the project in one file of Python, without what only a reader needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fairway import bundle as bundler
from fairway.bundle import bundle, code_files
from fairway.closure import STAGES

PROGRAM = '''"""Prints what it is given, and a constant of a module of its own."""
import lib.deep

def start(value):
    """Documented."""
    print(value["name"], lib.deep.VALUE)  # a remark
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three files in place of this one."""
    root = tmp_path / "project"
    (root / "lib").mkdir(parents=True)
    (root / "lib/__init__.py").write_text("")
    (root / "lib/deep.py").write_text("VALUE = 7\n")
    (root / "program.py").write_text(PROGRAM)
    monkeypatch.setattr(bundler, "STAGES", root)
    return root


def run(path: Path, cache: Path | None = None) -> subprocess.CompletedProcess:
    """Run a bundle; cache: the user's cache folder, by default one beside the bundle."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache or path.with_name("cache"))}
    command = [sys.executable, "-I", path]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_it_runs_alone_and_its_folder_is_put_right(project: Path, tmp_path: Path):
    content = bundle(code_files(("program.py",)), "program", {"name": "ada", "none": None})
    path = tmp_path / "apart" / "it.py"
    path.parent.mkdir()
    path.write_bytes(content)
    assert run(path).stdout == "ada 7\n"
    (folder,) = path.parent.glob("cache/fairway/code-*")
    assert sorted(map(str, (p.relative_to(folder) for p in folder.rglob("*.py")))) == [
        *("lib/__init__.py", "lib/deep.py", "program.py"),
    ]
    (folder / "lib/deep.py").write_bytes(b"\xff = 8\n")
    assert run(path).stdout == "ada 7\n"


def test_equal_code_gives_equal_bytes_whatever_its_comments(project: Path):
    files = code_files(("program.py",))
    before = bundle(files, "program")
    assert b"remark" not in before and b"Documented" not in before
    (project / "lib/deep.py").write_text('"""New words."""\n\nVALUE   = 7  # seven\n')
    assert bundle(files, "program") == before
    (project / "lib/deep.py").write_text("VALUE = 8\n")
    assert bundle(files, "program") != before


def test_left_out_files_are_not_in_it(project: Path):
    left = frozenset({project / "lib/deep.py"})
    names = [file.name for file in code_files(("program.py",), left)]
    assert names == ["__init__.py", "program.py"]


def test_a_damaged_one_says_so_in_one_line(project: Path, tmp_path: Path):
    content = bundle(code_files(("program.py",)), "program", {"name": "ada"})
    path = tmp_path / "it.py"
    place = content.index(b"'code-") + 100
    for damaged in (
        content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        content.replace(b"'code-", b"'code-0", 1),
        content[:place] + b'"' + content[place + 1 :],  # not of base 85
    ):
        path.write_bytes(damaged)
        done = run(path)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("it.py: error: cannot unpack: ")
        assert done.stderr.count("\n") == 1


def test_it_unpacks_beside_itself_where_there_is_no_cache(project: Path, tmp_path: Path):
    path = tmp_path / "it.py"
    path.write_bytes(bundle(code_files(("program.py",)), "program", {"name": "ada"}))
    assert run(path, cache=path).stdout == "ada 7\n"
    assert len(list(tmp_path.glob("code-*"))) == 1
    name = next(tmp_path.glob("code-*")).name
    shutil.rmtree(tmp_path / name)
    (tmp_path / name).write_text("in the way")
    done = run(path, cache=path)
    assert done.returncode == 2 and done.stderr.startswith("it.py: error: cannot unpack: ")


def test_without_an_entry_it_only_unpacks(project: Path, tmp_path: Path):
    path = tmp_path / "it.py"
    path.write_bytes(bundle(code_files(("program.py",)), None))
    assert run(path).stdout.endswith(": unpacked; it has no decoder\n")


def test_every_stage_can_be_bundled():
    """Nothing in the project's code is lost by being printed from its syntax tree."""
    for file in code_files(tuple(path.name for path in STAGES.glob("*.py"))):
        compile(bundler.canonical_source(file), str(file), "exec")
