"""The record's configuration: planned at its own size, and run to the end with small numbers."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest
import yaml

from fairway.stage import sha256_of
from support.fake_hub import REPOSITORY, FakeHub, serving
from support.fineweb_samples import (
    FOLDER,
    MODEL,
    TRAIN,
    dataset_content,
    make_fineweb,
    make_placeholders,
)
from support.made_up_submission import write_manifest
from workflow.conftest import ROOT, Workflow, edited_copy, job_counts

RECORD, DOWNLOAD, SHRUNK = (
    ROOT / "config" / f"{name}.yaml" for name in ("fineweb", "download", "shrunk")
)
# All are planned; a kind of each is run: both models, both kinds of counts, a claim or none.
RUN = ("published_hashed15_adaptive", "ebls_exact15_bayes")
ROWS = [row for row in yaml.safe_load(RECORD.read_text())["rows"] if row["name"] in RUN]
RECORD_JOBS = {
    "train_tokenizer": 1,
    "encode_corpus": 1,
    "train_model": 6,
    "quantize_model": 6,
    "pack_artifact": 6,
    "audit_model": 6,
    "score_targets": 48,
    "count_ngrams": 5,
    "audit_cache": 5,
    "pack_row": 14,
    "mix_scores": 42,
    "audit_row": 14,
    "prove_row": 6,
    "aggregate_seeds": 1,
}


@pytest.fixture
def record(tmp_path) -> Workflow:
    return Workflow(tmp_path, configs=(RECORD,))


def test_record_is_planned_in_seconds(record):
    make_placeholders(record.directory / "data" / "fineweb", 80)
    start = time.monotonic()
    assert record.planned() == RECORD_JOBS
    assert time.monotonic() - start < 20


def test_record_with_download_is_planned_without_data(record):
    record = replace(record, configs=(RECORD, DOWNLOAD))
    first = record.run("--dry-run", "--", "results/summary.csv")  # as ./run says it
    assert first.returncode == 0, first.stdout
    assert record.planned() == {"fetch_corpus": 1} | RECORD_JOBS


def test_absent_shards_are_named_with_their_key(record):
    done = record.run("--dry-run")
    assert done.returncode != 0 and "Traceback" not in done.stdout
    expected = f"corpus.train_shards: data/fineweb/{FOLDER}/fineweb_train_*.bin: no such file"
    assert expected in done.stdout.splitlines()


def test_estimate_needs_nothing_and_takes_no_other_corpus(record):
    write_manifest(record.file("corpus"))  # of a run with another configuration
    command = [sys.executable, ROOT / "envs" / "launch.py", "--configfile", RECORD, "estimate"]
    done = subprocess.run(
        [*command, "--nocolor", "--directory", record.directory],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    assert job_counts(done.stdout) == {"write_spec": 1, "estimate": 1}
    table = record.file("estimate.md").read_text()
    assert table in done.stdout
    jobs = [line.split(" | ")[:2] for line in table.splitlines()[2 : 2 + len(RECORD_JOBS)]]
    assert {name.strip("| "): int(count) for name, count in jobs} == RECORD_JOBS
    assert "8,000,000,000 training and 62,021,846 validation tokens" in table
    sizes = [line for line in table.splitlines() if line.startswith("| published_neural, ")]
    assert len(sizes) == 1 and "% |" in sizes[0]


@pytest.fixture(scope="module")
def shrunk(tmp_path_factory) -> Iterator[Workflow]:
    """The shrunk record, run to the end with its corpus downloaded from a hub on this machine."""
    directory = tmp_path_factory.mktemp("shrunk")
    make_fineweb(directory / "published", 40_000, 12_000)
    override = directory / "hub.yaml"
    pins = {f"datasets/{MODEL}": sha256_of(directory / "published" / MODEL)}
    download = {"repository": REPOSITORY, "train_shards": 1, "sha256": pins}
    override.write_text(yaml.safe_dump({"corpus": {"download": download}, "rows": ROWS}))
    workflow = Workflow(directory, configs=(RECORD, DOWNLOAD, SHRUNK, override))
    hub = FakeHub(dataset_content(directory / "published", "datasets"))
    with serving(hub), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        done = workflow.run()
        assert done.returncode == 0, done.stdout[-6000:]
        yield workflow


@pytest.mark.slow
def test_shrunk_record_runs_to_the_end(shrunk):
    summary = pd.read_csv(shrunk.file("summary.csv"))
    assert summary["row"].tolist() == [row["name"] for row in ROWS]
    assert summary["bpb_mean"].notna().all() and (summary["seeds"] == 1).all()
    claimed = [row.get("claim") == "code_length" for row in ROWS]
    assert summary["is_code_length"].tolist() == claimed
    assert set(summary["model"]) == {"independent", "ebls"}
    budget = pd.read_csv(shrunk.file("budget.csv"))
    steps = ["training", "calibration", "quantising", "packing"]
    steps += ["loading", "scoring", "counting", "mixing"]
    assert (budget[steps] >= 0).all(axis=None) and len(budget) == len(ROWS)
    assert (budget[["train_limit", "eval_limit"]] == 600).all(axis=None)
    assert shrunk.planned() == {}


@pytest.mark.slow
def test_edited_download_code_retrains_nothing(shrunk, tmp_path):
    edited = edited_copy(shrunk, tmp_path, "stages/fairway/corpus/hub.py", "\nADDED = 1\n")
    assert edited.planned() == {}
    assert shrunk.planned() == {}


@pytest.mark.slow
def test_another_revision_is_another_corpus(shrunk):
    planned = shrunk.planned({"corpus": {"download": {"revision": "v2"}}})
    assert planned["fetch_corpus"] == planned["encode_corpus"] == 1
    assert planned["train_model"] == 2


@pytest.mark.slow
def test_lost_shard_is_fetched_again_and_nothing_else(shrunk):
    shard = shrunk.directory / "data" / "fineweb" / TRAIN
    content = shard.read_bytes()
    shard.unlink()
    assert shrunk.planned() == {}, "tables need no shards any more"
    done = shrunk.run("--force", "fetch_corpus")
    assert done.returncode == 0, done.stdout
    assert job_counts(done.stdout) == {"fetch_corpus": 1}
    assert shard.read_bytes() == content
    assert shrunk.planned() == {}


@pytest.mark.slow
def test_given_shards_where_they_lie(shrunk, tmp_path):
    """The same files, given rather than downloaded, make the same corpus."""
    given = Workflow(tmp_path, configs=(RECORD, SHRUNK))
    folder = tmp_path / "data" / "fineweb"
    shutil.copytree(shrunk.directory / "published", folder)
    done = given.run("--", "results/corpus/manifest.json")
    assert done.returncode == 0, done.stdout
    for name in ("val.bin", "val_bytes.npy", "tokenizer.model"):
        here, there = given.file(f"corpus/{name}"), shrunk.file(f"corpus/{name}")
        assert here.read_bytes() == there.read_bytes()
