"""Provenance: whatever a job read or wrote and is now another file is found, whatever its time."""

import os
from pathlib import Path

import pytest

from fairway import provenance
from fairway.files.spec import Spec
from fairway.provenance import Provenance, Recording, faults, name_of, source_fault
from fairway.stage import StageError, read_json, sha256_of, write_json

MODEL, SCORES = "provenance/train/a.json", "provenance/score/a.json"
SPECS = {MODEL: "spec of train", SCORES: "spec of score"}


def made(job: str, read: dict[str, str], wrote: dict[str, str]) -> None:
    """Run a job that writes these texts; read is written first if it is not there."""
    for name, text in read.items():
        if not Path(name).exists():
            Path(name).write_text(text)
    recording = Recording(Path(job), Spec({}, SPECS[job]), map(Path, read))
    for name, text in wrote.items():
        Path(name).write_text(text)
    recording.finish(*map(Path, wrote))


@pytest.fixture(autouse=True)
def chain(tmp_path, monkeypatch) -> None:
    """A model, and scores made with it."""
    monkeypatch.chdir(tmp_path)
    made(MODEL, {"corpus": "text"}, {"model": "weights", "metrics": "1"})
    made(SCORES, {"model": "weights"}, {"scores": "nats"})


def test_what_belongs_together_is_no_fault_whatever_its_times():
    assert faults(SPECS) == {}
    for shift, path in enumerate(sorted(Path.cwd().rglob("*"))):
        os.utime(path, (4e9 - shift, 4e9 - shift))
    assert faults(SPECS) == {}
    Path("metrics").unlink()
    assert faults(SPECS) == {}, "what is gone is no fault"


def test_another_spec():
    found = faults(SPECS | {SCORES: "another"})
    assert found == {SCORES: f"{SCORES}: made under spec spec of scor; the current one is another"}


def test_unfinished_job_leaves_no_provenance():
    Recording(Path(MODEL), Spec({}, SPECS[MODEL]), [Path("corpus")])
    assert list(faults(SPECS)) == [MODEL] and "no such file" in faults(SPECS)[MODEL]


def test_replaced_file_of_the_same_size_is_found_at_the_job_that_wrote_it():
    Path("scores").write_text("bits")
    os.utime("scores", (1, 1))
    assert faults(SPECS) == {SCORES: "scores: not the file that score/a wrote"}


def test_job_that_read_an_older_file_is_found():
    made(MODEL, {"corpus": ""}, {"model": "WEIGHTS", "metrics": "1"})
    assert faults(SPECS) == {SCORES: "model: score/a read another one"}


@pytest.mark.parametrize("limit", [100, 1])
def test_file_replaced_before_it_was_read_is_found_at_both(monkeypatch, limit):
    monkeypatch.setattr(provenance, "HASHED_BYTES", limit)
    Path("model").write_text("foreign")
    made(SCORES, {"model": ""}, {"scores": "nats"})
    assert faults(SPECS) == {
        MODEL: "model: not the file that train/a wrote",
        SCORES: "model: score/a read another one",
    }


def test_provenance_of_another_job_is_found():
    Path("provenance/train/b.json").write_text(Path(MODEL).read_text())
    found = faults({"provenance/train/b.json": SPECS[MODEL]})
    assert list(found.values()) == ["provenance/train/b.json: is of train/a; expected train/b"]


def test_input_that_no_job_makes_is_compared_as_it_is():
    assert "corpus" in Provenance.load(Path(MODEL)).read
    Path("corpus").write_text("TEXT")
    assert faults(SPECS) == {MODEL: "corpus: train/a read another one"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value.pop("wrote"),
        lambda value: value.update(wrote=[]),
        lambda value: value.update(sources={"x": {"sha256": "a"}}),
        lambda value: value.update(more=1),
    ],
)
def test_damaged_provenance_is_one_line(damage):
    value = read_json(Path(MODEL))
    damage(value)
    write_json(Path(MODEL), value)
    with pytest.raises(StageError, match=r"^provenance/train/a\.json: "):
        Provenance.load(Path(MODEL))
    assert MODEL in faults(SPECS)


def recorded_sources(*names: str) -> list[Path]:
    files = [Path(name) for name in names]
    Recording(Path(MODEL), Spec({}, SPECS[MODEL]), sources=files).finish()
    return files


def test_sources_are_told_by_content(tmp_path):
    Path("a.txt").write_text("one"), Path("b.txt").write_text("two")
    files = recorded_sources("a.txt", "b.txt")
    assert source_fault(MODEL, files) is None
    os.utime("a.txt", (5, 5))
    assert source_fault(MODEL, files) is None, "another time, the same text"
    Path("a.txt").write_text("ONE")
    os.utime("a.txt", (5, 5))
    assert source_fault(MODEL, files) == "a.txt: has changed since it was read"
    Path("a.txt").write_text("three")
    assert source_fault(MODEL, files) == "a.txt: 5 bytes; 3 were read"


def test_added_removed_and_linked_sources_are_found(monkeypatch):
    for folder in ("v1", "v2"):
        Path(folder).mkdir()
        Path(folder, "a.txt").write_text("one")
    Path("now").symlink_to("v1")
    files = recorded_sources("now/a.txt")
    assert source_fault(MODEL, [Path("v1/a.txt")]) is None
    assert source_fault(MODEL, [*files, Path("v2/a.txt")]) == "v2/a.txt: was not read"
    assert source_fault(MODEL, []) == "v1/a.txt: was read, and is no source now"
    Path("now").unlink()
    Path("now").symlink_to("v2")
    assert source_fault(MODEL, files) == "v2/a.txt: was not read"


def test_large_sources_with_new_times_are_not_hashed(monkeypatch):
    Path("a.txt").write_text("one")
    files = recorded_sources("a.txt")
    monkeypatch.setattr(provenance, "SOURCE_BYTES", 2)
    monkeypatch.setattr(provenance, "sha256_of", lambda path: pytest.fail("hashed"))
    assert source_fault(MODEL, files) is None
    os.utime("a.txt", (5, 5))
    assert source_fault(MODEL, files) == "a.txt: has changed since it was read"


def test_without_a_path_nothing_is_recorded():
    Recording(None, Spec({}, "s"), [Path("absent")]).finish(Path("absent"))


def test_name_of():
    assert name_of(Path("results/provenance/score/a.rank0.json")) == "score/a.rank0"


@pytest.fixture
def hashed(monkeypatch) -> list[tuple[str, int]]:
    """Every file that is hashed from now on, with its bytes."""
    found: list[tuple[str, int]] = []

    def noted(path: Path) -> str:
        found.append((str(path), path.stat().st_size))
        return sha256_of(path) if path.stat().st_size < 1 << 20 else "of a large file"

    monkeypatch.setattr(provenance, "sha256_of", noted)
    return found


def test_what_a_finished_run_wrote_is_hashed_once_whenever_it_is_looked_at(hashed):
    assert faults(SPECS) == {}
    assert sorted(name for name, _ in hashed) == ["corpus", "metrics", "model", "scores"]


def test_a_corpus_of_ten_gigabytes_is_hashed_when_it_is_read_and_not_when_it_is_looked_at(
    monkeypatch, hashed
):
    """As the source of a corpus and as what a job wrote."""
    size = 10**10
    for name in ("source", "train.bin"):
        with Path(name).open("wb") as file:
            file.truncate(size)  # takes no room
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "sha256_of", lambda path: f"of {path.name}")
        recording = Recording(Path(MODEL), Spec({}, SPECS[MODEL]), sources=[Path("source")])
        recording.finish(Path("train.bin"), Path("metrics"))
        made(SCORES, {"train.bin": ""}, {"scores": "nats"})
    faults(SPECS)
    assert source_fault(MODEL, [Path("source")]) is None
    assert {name for name, _ in hashed} == {"metrics", "scores"}
    os.utime("source", (5, 5))
    assert source_fault(MODEL, [Path("source")]) == "source: has changed since it was read"
    assert sum(count for _, count in hashed) < 1000
