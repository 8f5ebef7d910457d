"""./run from any folder, in a checkout and a working directory of any name, under any shell."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from support.corpus_samples import sample_texts
from support.interpreters import interpreter_with
from workflow.conftest import CHECKOUT_PARTS, ROOT, environment

SIGNS = "w $(touch here); \"d\" {x} [1] (2) 'q' & $HOME #"
TOKENIZER = "results/corpus/tokenizer.model"
SLEEPING = """
import pathlib, sys, time
if any(word.endswith("train_tokenizer.py") for word in sys.orig_argv):
    pathlib.Path("started").touch()
    time.sleep(120)
"""


@pytest.fixture
def settings(tmp_path) -> str:
    """Name of a configuration file in tmp_path, of a text whose name has braces."""
    texts = "\n\n\n".join(sample_texts(150))
    (tmp_path / "text {a}.txt").write_text(texts)
    corpus = {"kind": "text", "paths": [f"{tmp_path}/text {{a}}.txt"], "vocabulary": 512}
    corpus |= {"document_separator": "\n\n\n", "minimum_documents": 2, "val_fraction": 0.2}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"corpus": corpus}))
    return "mine.yaml"


def test_any_name_any_folder_and_any_shell(tmp_path, settings):
    """What is in the path is not executed, the caller's folder counts, and no variable does."""
    checkout = tmp_path / SIGNS
    for part in CHECKOUT_PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        checkout.mkdir(exist_ok=True)
        copy(ROOT / part, checkout / part)
    for package in ("fairway", "snakemake", "yaml"):
        (tmp_path / "leak" / package).mkdir(parents=True)
        (tmp_path / "leak" / package / "__init__.py").write_text("raise SystemExit(7)\n")
    (tmp_path / "leak" / "shell").write_text("exit 7\n")
    leaks = {"PYTHONPATH": str(tmp_path / "leak"), "BASH_ENV": str(tmp_path / "leak" / "shell")}
    leaks |= {"PYTHONSAFEPATH": "1", "PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-E", checkout / "envs" / "launch.py", "--cores", "1"]
    command += ["--configfile", settings, "--directory", f"{SIGNS} too", "--", TOKENIZER]
    kinds = ["results/summary.csv", "report", "submission", "results/sweeps/buckets.csv"]
    for words in (command, [*command[:-2], "--dry-run", "--", *kinds]):  # rules of every kind
        done = subprocess.run(
            words, cwd=tmp_path, env=environment() | leaks, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / f"{SIGNS} too" / TOKENIZER).is_file()
    assert list(tmp_path.rglob("here")) == []


def test_sigterm_ends_the_jobs_and_the_next_run_goes_on(tmp_path, settings):
    python = interpreter_with(tmp_path / "python", SLEEPING)
    command = [ROOT / "envs" / "launch.py", "--cores", "1", "--configfile", settings]
    command += ["--directory", "run", "--", TOKENIZER]
    options = {"cwd": tmp_path, "text": True, "stdout": subprocess.PIPE, "env": environment()}
    first = subprocess.Popen([python, *command], stderr=subprocess.STDOUT, **options)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "started").exists():
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    output = first.communicate(timeout=60)[0]
    assert first.returncode == 128 + signal.SIGTERM and output.endswith("ended by SIGTERM\n")
    at_work = [p.info for p in psutil.process_iter(["cwd", "cmdline"])]
    assert [p for p in at_work if p["cwd"] == str(tmp_path / "run")] == []
    again = subprocess.run([sys.executable, *command], stderr=subprocess.STDOUT, **options)
    assert again.returncode == 0 and "removing the lock" not in again.stdout, again.stdout
    assert Path(tmp_path / "run" / TOKENIZER).is_file()


def test_on_a_terminal_jobs_are_drawn_and_the_failing_stage_has_the_last_word(tmp_path, settings):
    config = yaml.safe_load((tmp_path / settings).read_text())
    config["corpus"]["vocabulary"] = 260  # less than the text has signs
    (tmp_path / settings).write_text(yaml.safe_dump(config))
    command = [sys.executable, ROOT / "envs" / "launch.py", "--cores", "1"]
    command += ["--configfile", settings, "--directory", "run", "--", TOKENIZER]
    ours, theirs = pty.openpty()
    options = {"cwd": tmp_path, "env": environment() | {"TERM": "xterm", "COLUMNS": "400"}}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, **options)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while part := os.read(ours, 4096):
            shown += part
    assert process.wait() == 1
    lines = shown.decode().splitlines()
    assert any(" 0 of 2 jobs, " in line for line in lines), "its spec, and the tokenizer"
    assert any("failed    train_tokenizer  " in line for line in lines)
    said = "train_tokenizer.py: error: corpus.vocabulary: 260 pieces cannot be trained"
    assert lines[-1].startswith(f"error: train_tokenizer: {said}")
    assert "Error in rule" not in shown.decode()
