"""The download stage as a program, and what a downloaded corpus is to the other stages."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from fairway.corpus.downloads import download_places
from fairway.stage import sha256_of
from fairway.workflow.specs import corpus_settings
from support.fake_hub import COMMIT, REPOSITORY, FakeHub, serving

STAGE = Path(__file__).resolve().parents[3] / "stages" / "fetch_corpus.py"
FOLDER = "datasets/fineweb10B_sp1024"
MODEL = "tokenizers/fineweb_1024_bpe.model"
NAMES = [MODEL, *(f"{FOLDER}/fineweb_{name}.bin" for name in ("val_000000", "train_000000"))]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    files = {f"root/{name}": name.encode() * 100 for name in NAMES}
    with serving(FakeHub(files, small={f"root/{MODEL}"})) as hub:
        yield hub


def corpus(folder: Path, **changes: Any) -> dict[str, Any]:
    download = {
        "repository": REPOSITORY,
        "revision": "main",
        "root": "root",
        "folder": str(folder),
        "train_shards": 1,
        "sha256": {},
    }
    return {"vocabulary": 1024, "download": download | changes}


def start_stage(endpoint: str, folder: Path, **changes: Any) -> subprocess.Popen[str]:
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"code": "", "settings": corpus(folder / "data", **changes)}))
    command = [sys.executable, STAGE, "--spec", spec, "--receipt", folder / "download.json"]
    environment = os.environ | {"HF_ENDPOINT": endpoint}
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run_stage(endpoint: str, folder: Path, **changes: Any) -> subprocess.CompletedProcess[str]:
    process = start_stage(endpoint, folder, **changes)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def test_files_and_receipt(hub: FakeHub, tmp_path: Path) -> None:
    done = run_stage(hub.endpoint, tmp_path)
    assert done.returncode == 0, done.stderr
    receipt = json.loads((tmp_path / "download.json").read_text())
    assert receipt["repository"] == REPOSITORY and COMMIT in done.stderr
    assert [Path(entry["file"]) for entry in receipt["files"]] == [
        tmp_path / "data" / name for name in NAMES
    ]
    for entry, name in zip(receipt["files"], NAMES, strict=True):
        assert Path(entry["file"]).read_bytes() == hub.files[f"root/{name}"]
        assert entry["sha256"] == sha256_of(Path(entry["file"]))
    hub.requests.clear()
    Path(receipt["files"][2]["file"]).unlink()
    assert run_stage(hub.endpoint, tmp_path).returncode == 0
    assert [path for path, _ in hub.requests] == [f"root/{NAMES[2]}"], "only the missing one"
    assert json.loads((tmp_path / "download.json").read_text()) == receipt


def test_killed_download_goes_on_where_it_was(hub: FakeHub, tmp_path: Path) -> None:
    piece = constants.DOWNLOAD_CHUNK_SIZE
    shard = f"root/{NAMES[2]}"
    hub.files[shard] = os.urandom(piece + piece // 2)
    hub.stall_after = piece + 1000
    process = start_stage(hub.endpoint, tmp_path)
    deadline = time.monotonic() + 60
    while not (partial := list(tmp_path.glob(f"data/{FOLDER}/.*train*.part"))) or (
        partial[0].stat().st_size < piece
    ):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    hub.released.set()
    hub.requests.clear()
    assert run_stage(hub.endpoint, tmp_path).returncode == 0
    assert hub.requests == [(shard, f"bytes={piece}-")]
    assert (tmp_path / "data" / NAMES[2]).read_bytes() == hub.files[shard]
    assert not partial[0].exists()


@pytest.mark.parametrize("name", [MODEL, NAMES[1]])
def test_another_hash_than_demanded(hub: FakeHub, tmp_path: Path, name: str) -> None:
    done = run_stage(hub.endpoint, tmp_path, sha256={f"root/{name}": "0" * 64})
    assert done.returncode == 2 and not (tmp_path / "download.json").exists()
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    assert f"corpus.download.sha256: root/{name}: the dataset's has" in line


def test_hash_of_a_file_that_is_not_fetched(hub: FakeHub, tmp_path: Path) -> None:
    done = run_stage(hub.endpoint, tmp_path, sha256={"root/other": "0" * 64})
    assert done.returncode == 2 and "root/other is not one of the files" in done.stderr


def test_no_network_is_one_line(tmp_path: Path) -> None:
    done = run_stage("http://127.0.0.1:1", tmp_path)
    assert done.returncode == 2 and not (tmp_path / "download.json").exists()
    (line,) = done.stderr.splitlines()
    assert "http://127.0.0.1:1 did not answer" in line and "set corpus.download to null" in line


def test_places_keep_the_layout_below_the_root() -> None:
    places = download_places(corpus(Path("here")))
    assert places == {f"root/{name}": Path("here") / name for name in NAMES}


def test_settings_of_the_other_stages_name_the_downloaded_files() -> None:
    given = {"train_shards": ["elsewhere/*.bin"], "minimum_documents": 100, "kind": "shards"}
    settings = corpus_settings(corpus(Path("here"), train_shards=2) | given)
    assert settings["train_shards"] == [
        f"here/{FOLDER}/fineweb_train_00000{index}.bin" for index in (0, 1)
    ]
    assert settings["tokenizer"] == f"here/{MODEL}"
    assert settings["download"] == {"repository": REPOSITORY, "revision": "main"}
