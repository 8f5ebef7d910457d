"""The two commands: an environment that is made once and whole, and the run that uses it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from fairway.stage import StageError
from fairway.tables.report.data import load_run
from fairway.workflow.config import resolve_config
from fairway.workflow.layers import put_together, read_layer
from support.configs import SCHEMA
from workflow.conftest import ROOT, SMOKE, environment

sys.path.insert(0, str(ROOT / "envs"))
from launch import NO_TABLE, remove_stale_lock


def bare_checkout(folder: Path) -> Path:
    """Its envs/, with requirements that need no download."""
    envs = folder / "a checkout" / "envs"
    envs.mkdir(parents=True)
    for name in ("prepare.sh", "prepare.py"):
        shutil.copy2(ROOT / "envs" / name, envs)
    (envs / "requirements.txt").write_text("# nothing\n")
    return envs


@pytest.fixture
def bare(tmp_path) -> Path:
    return bare_checkout(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """One whose .venv was made, by two at once, whatever the caller's shell says."""
    folder = bare_checkout(tmp_path_factory.mktemp("made"))
    elsewhere = folder.parent / "elsewhere"
    (elsewhere / "envs").mkdir(parents=True)
    variables = {"CDPATH": str(elsewhere), "PYTHONHOME": "/no", "PYTHONPATH": "/no"}
    both = [prepare(folder, cwd=folder.parent, script="envs/prepare.sh", **variables)]
    both.append(prepare(folder))
    assert sum("installing" in text for text in messages(*both)) == 1
    return folder


def prepare(
    folder: Path, cwd: Path | str = "/", script: Path | str = "", **variables: str
) -> subprocess.Popen:
    command = ["sh", script or folder / "prepare.sh"]
    environment = os.environ | variables
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, stderr=subprocess.PIPE)


def messages(*processes: subprocess.Popen) -> list[str]:
    found = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), found
    return found


def test_environment_that_is_there_is_left_alone(made):
    messages(prepare(made))
    assert (made.parent / ".venv/bin/python").exists()
    assert messages(prepare(made)) == [""]


def test_environment_is_renewed_when_stale(made):
    (made / "requirements.txt").write_text("# other pins\n")
    assert "installing" in messages(prepare(made))[0]


def test_environment_is_made_again_when_unfinished(made):
    stamp = made.parent / ".venv/fairway-stamp"
    stamp.unlink(missing_ok=True)
    (made.parent / ".venv/bin/python").unlink()
    assert "installing" in messages(prepare(made))[0]
    assert stamp.exists()


def test_failed_installation_is_one_line_and_not_taken_for_whole(made):
    pins = (made / "requirements.txt").read_text()
    (made / "requirements.txt").write_text("./no/such/package\n")
    process = prepare(made)
    text = process.communicate()[1]
    assert process.returncode == 1 and text.splitlines()[-1].startswith("error: envs/requirements")
    assert not (made.parent / ".venv/fairway-stamp").exists()
    (made / "requirements.txt").write_text(pins)


def test_checkout_that_cannot_be_written_is_one_line(bare):
    (bare.parent / ".venv.lock").mkdir()
    process = prepare(bare)
    (line,) = process.communicate()[1].splitlines()
    assert process.returncode == 1 and line.startswith(f"error: {bare.parent}/.venv.lock: ")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            "sys.modules['ensurepip'] = None",
            "no module ensurepip, which puts pip into .venv",
        ),
        ("venv.create = lambda *_, **__: check_call(['false'])", "ensurepip failed with exit 1"),
    ],
    ids=["absent", "failing"],
)
def test_python_without_ensurepip_is_one_line(bare, damage, message):
    program = f"import runpy, sys, venv; from subprocess import check_call; {damage}\n"
    program += f"runpy.run_path({str(bare / 'prepare.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], text=True, stderr=subprocess.PIPE)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and message in last and "requirements" not in last
    assert not (bare.parent / ".venv/fairway-stamp").exists()


def launch(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "envs" / "launch.py", *arguments]
    return subprocess.run(command, env=environment(), text=True, capture_output=True)


def test_run_prints_the_table_and_a_dry_run_the_jobs(smoke):
    base = ("--directory", str(smoke.directory), "--configfile", str(SMOKE))
    done = launch(*base)
    assert done.returncode == 0 and "Nothing to be done" in done.stderr
    assert done.stdout.endswith(smoke.file("ablation.md").read_text())
    override = smoke.directory / "gate.yaml"
    override.write_text("gates: {uniform: {threshold: 3.5}}\n")
    planned = launch(*base, str(override), "-n")
    assert planned.returncode == 0 and "| row |" not in planned.stdout
    assert "results/rows/hashed7/seed1337.json" in planned.stdout + planned.stderr
    for words in (("results/ablation.md", *base), (*base, "--", "results/ablation.md")):
        asked = launch(*words)
        assert asked.returncode == 0 and "Nothing to be done" in asked.stderr, asked.stderr


def test_a_finished_run_has_all_that_the_report_shows(smoke):
    config = resolve_config(
        put_together([read_layer(ROOT / "config.yaml"), read_layer(SMOKE)]), SCHEMA
    )
    found = load_run(smoke.file(""), config)
    assert (
        found.calibration.keys()
        == found.profiles.keys()
        == {row["name"] for row in config["rows"]}
    )


def test_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    done = launch("--directory", str(tmp_path / "file" / "folder"))
    assert done.returncode == 2 and done.stderr.startswith(f"error: {tmp_path}/file")
    assert done.stderr.endswith("; expected --directory to be one to write in\n")
    assert len(done.stderr.splitlines()) == 1


def test_damaged_configuration_is_one_line_before_anything_is_written(tmp_path):
    (tmp_path / "mine.yaml").write_text("seeds: [1]\nseeds: [2]\n")
    folder = tmp_path / "new"
    done = launch("--directory", str(folder), "--configfile", str(tmp_path / "mine.yaml"))
    assert done.returncode == 2 and not folder.exists()
    line = "line 2: key `seeds` is given twice (first in line 1); expected it once"
    assert done.stderr == f"error: {tmp_path}/mine.yaml, {line}\n"


def test_stale_lock_is_removed(smoke):
    locks = smoke.directory / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.input.lock").write_text("results/summary.csv\n")
    (locks / "0.output.lock").write_text("results/summary.csv\n")
    assert "LockException" in smoke.run(override={"audit": {"seed": 7}}).stdout
    done = launch(
        "--directory", str(smoke.directory), "--configfile", str(ROOT / "config/smoke.yaml")
    )
    assert done.returncode == 0 and "removing the lock" in done.stderr


def test_lock_is_kept_while_a_job_of_that_run_is_alive(tmp_path):
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.input.lock").write_text("x\n")
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/train_model.py").write_text("import time\ntime.sleep(60)\n")
    orphan = subprocess.Popen([sys.executable, "stages/train_model.py"], cwd=tmp_path)
    try:
        with pytest.raises(StageError, match=f"pid {orphan.pid}"):
            remove_stale_lock(tmp_path, ["false"])
    finally:
        orphan.kill()
        orphan.wait()


def test_every_option_with_which_nothing_runs_is_known():
    groups = {group.title: group for group in get_argument_parser()._action_groups}
    known = {action.dest for action in groups["UTILITIES"]._group_actions}
    runs = {"skip_script_cleanup", "keep_incomplete", "drop_metadata"}
    assert known - runs <= set(NO_TABLE)
