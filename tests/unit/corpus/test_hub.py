"""Downloads from a hub: whole, gone on with after a break, refused when not as promised."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from fairway.corpus.hub import HubDataset
from fairway.stage import StageError
from support.fake_hub import COMMIT, REPOSITORY, FakeHub, serving
from support.full_disk import files_up_to

PATH = "datasets/shard.bin"
CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub({PATH: CONTENT, "small.txt": b"few bytes"}, small={"small.txt"})) as hub:
        yield hub


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts, and pieces small enough for small files to have several."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 20_000)


def fetch(hub: FakeHub, folder: Path, path: str = PATH) -> Path:
    dataset = HubDataset(REPOSITORY, "main", hub.endpoint)
    (file,) = dataset.describe([path])
    dataset.fetch(file, folder / "copy.bin")
    return folder / "copy.bin"


def test_fetches_and_leaves_nothing_else(hub: FakeHub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["copy.bin"]
    assert HubDataset(REPOSITORY, "main", hub.endpoint).commit == COMMIT


def test_file_without_sha256_is_checked_by_its_blob_id(hub: FakeHub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path, "small.txt").read_bytes() == b"few bytes"
    (tmp_path / "copy.bin").write_bytes(b"bad bytes")
    with pytest.raises(StageError, match=r"copy\.bin: hash .*; delete it"):
        fetch(hub, tmp_path, "small.txt")


def test_file_that_is_there_is_checked_and_not_fetched(hub: FakeHub, tmp_path: Path) -> None:
    fetch(hub, tmp_path)
    hub.requests.clear()
    fetch(hub, tmp_path)
    assert hub.requests == []
    (tmp_path / "copy.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(StageError, match=r"copy\.bin: 255999 bytes; the dataset has 256000"):
        fetch(hub, tmp_path)
    assert (tmp_path / "copy.bin").read_bytes() == CONTENT[:-1], "a user's file is left alone"


@pytest.mark.usefixtures("impatient")
def test_one_break_is_bridged(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut_after, hub.cuts = 100_000, 1
    assert fetch(hub, tmp_path).read_bytes() == CONTENT
    assert hub.requests == [(PATH, None), (PATH, "bytes=100000-")]


@pytest.mark.usefixtures("impatient")
def test_lasting_break_keeps_what_came_and_the_next_run_goes_on(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.cut_after, hub.cuts = 100_000, 1000
    with pytest.raises(StageError, match=r"ended after 100,000 of 256,000 bytes .*run again"):
        fetch(hub, tmp_path)
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith(".copy.bin.") and partial.read_bytes() == CONTENT[:100_000]
    hub.cuts = 0
    hub.requests.clear()
    assert fetch(hub, tmp_path).read_bytes() == CONTENT
    assert hub.requests == [(PATH, "bytes=100000-")]
    assert not partial.exists()


def test_full_disk_names_the_file_and_the_next_run_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    with (
        files_up_to(100_000),
        pytest.raises(StageError, match=r"copy\.bin: cannot write: File too large"),
    ):
        fetch(hub, tmp_path)
    (partial,) = tmp_path.iterdir()
    assert partial.read_bytes() == CONTENT[: partial.stat().st_size]
    assert fetch(hub, tmp_path).read_bytes() == CONTENT
    assert not partial.exists()


def test_partial_file_of_another_version_is_not_continued(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut_after, hub.cuts = 1000, 0
    (tmp_path / ".copy.bin.0123456789abcdef.part").write_bytes(b"old")
    assert fetch(hub, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("spoilt", [CONTENT[:-1] + b"x", CONTENT + b"more", CONTENT[:-5]])
@pytest.mark.usefixtures("impatient")
def test_not_what_was_promised(hub: FakeHub, tmp_path: Path, spoilt: bytes) -> None:
    hub.sent[PATH] = spoilt
    with pytest.raises(StageError, match=r"copy\.bin: download has (hash|\d+ bytes).*run again"):
        fetch(hub, tmp_path)
    assert list(tmp_path.iterdir()) == [], "nothing wrong is kept"
    hub.sent.clear()
    assert fetch(hub, tmp_path).read_bytes() == CONTENT


def test_partial_file_with_a_wrong_byte_is_found_out(hub: FakeHub, tmp_path: Path) -> None:
    (file,) = HubDataset(REPOSITORY, "main", hub.endpoint).describe([PATH])
    (tmp_path / f".copy.bin.{file.known_hash[:16]}.part").write_bytes(b"?" + CONTENT[1:500])
    with pytest.raises(StageError, match="download has hash"):
        fetch(hub, tmp_path)
    assert fetch(hub, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("repository", "revision", "key"),
    [("nobody/nothing", "main", "repository"), (REPOSITORY, "no-branch", "revision")],
)
def test_no_such_dataset_or_revision(
    hub: FakeHub, repository: str, revision: str, key: str
) -> None:
    with pytest.raises(
        StageError, match=rf"^corpus\.download\.{key}: '[\w/-]+' is not .*"
    ) as error:
        HubDataset(repository, revision, hub.endpoint)
    assert "\n" not in str(error.value)


def test_no_such_file(hub: FakeHub) -> None:
    dataset = HubDataset(REPOSITORY, "main", hub.endpoint)
    with pytest.raises(StageError, match=r"shard_2\.bin is not in dataset someone/golf"):
        dataset.describe([PATH, "datasets/shard_2.bin"])


def test_no_network_is_one_line() -> None:
    with pytest.raises(StageError, match=r"did not answer .*connect and run again") as error:
        HubDataset(REPOSITORY, "main", "http://127.0.0.1:1")
    assert "\n" not in str(error.value)
