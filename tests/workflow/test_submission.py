"""The finished run is handed in: the folder is right, and its script alone gets the same score."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fairway.tables.contest_logs import read_log
from workflow.conftest import ROOT, Workflow
from workflow.test_reruns import SIZES

ROW, SEED = "exact15_adaptive", SIZES["seeds"][0]
WHO = {"name": "Smoke", "author": "Ada", "github_id": "ada", "date": "2026-04-30", "row": ROW}


@pytest.fixture(scope="module")
def folder(finished: Workflow) -> Path:
    """As `./run submission` makes it."""
    done = finished.run("--", "submission", override={"submission": WHO})
    assert done.returncode == 0, done.stdout
    return finished.file("submission/2026-04-30_Smoke")


def test_the_folder_has_nothing_wrong(folder: Path, finished: Workflow):
    command = [sys.executable, ROOT / "stages" / "check_submission.py", folder]
    command += ["--results", finished.file("")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_script_alone_ends_with_the_score_of_the_pipeline(
    folder: Path, finished: Workflow, tmp_path: Path
):
    """In an isolated interpreter and an empty folder, with token shards and the tokenizer."""
    script, corpus = tmp_path / "train_gpt.py", finished.file("corpus")
    script.write_bytes((folder / "train_gpt.py").read_bytes())
    told = {"DATA_PATH": corpus, "TOKENIZER_PATH": corpus / "tokenizer.model", "SEED": SEED}
    environment = os.environ | {name: str(value) for name, value in told.items()}
    command = [sys.executable, "-I", script]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "logs" / f"seed{SEED}.txt").read_text()
    assert done.stdout == log
    found = read_log(log.splitlines(), "log")
    seeds = pd.read_csv(finished.file("seeds.csv")).set_index(["row", "seed"])
    assert found.val_bpb == round(seeds["bpb"][ROW, SEED], 8)
    loss = seeds["nats"][ROW, SEED] / seeds["targets"][ROW, SEED]
    assert found.val_loss == round(loss, 8)
    rendered = (folder / f"train_seed{SEED}.log").read_text()
    assert found.sizes == read_log(rendered.splitlines(), "rendered").sizes
