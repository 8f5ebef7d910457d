"""A folder as it is made has nothing wrong; each piece that is missing or false gets its line."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairway.closure import STAGES
from fairway.stage import StageError, sha256_of, write_json
from fairway.submission.checks import altered, problems
from fairway.submission.finished import FinishedRow, best_row
from fairway.submission.folder import record, requirements
from fairway.submission.settings import made_with
from fairway.workflow.config import resolve_config
from fairway.workflow.specs import Specs
from support.configs import SCHEMA, read_default
from support.made_up_submission import (
    AUDIT,
    CODE,
    LIMITS,
    ROW,
    SETTINGS,
    WHO,
    write_folder,
    write_run,
)

LIMIT = 16_000_000


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_run(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def folder(results: Path, tmp_path: Path) -> Path:
    write_folder(tmp_path / "folder", results)
    return tmp_path / "folder"


def found(folder: Path, results: Path, limit: int = LIMIT, allow: bool = False) -> list[str]:
    lines = problems(folder, results, limit, allow, SETTINGS)
    return [line.replace(f"{folder}/", "") for line in lines]


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_folder_as_it_is_made_has_nothing_wrong(folder: Path, results: Path):
    assert found(folder, results) == []
    made = json.loads((folder / "submission.json").read_text())
    assert made["bytes_total"] == 1002 + 500 + len(CODE) and made["val_bpb"] == 1.45
    text = (folder / "README.md").read_text()
    for words in (
        "1.45000000",
        "| row | BPB |",
        "torchrun --standalone",
        "[x] C2",
        "20.5 s of 600",
        "23.0% of",
    ):
        assert words in text, words
    assert "[ ]" not in text


@pytest.mark.parametrize(
    "name",
    ["README.md", "submission.json", "train_gpt.py", "requirements.txt", "train_seed2.log"],
)
def test_what_is_missing_is_named(folder: Path, results: Path, name: str):
    (folder / name).unlink()
    assert found(folder, results) == [f"{name}: missing"]


def change_record(key: str, value: Any) -> Callable[[Path], None]:
    """What sets one value of submission.json; key: with points between."""

    def tamper(folder: Path) -> None:
        path = folder / "submission.json"
        made = place = json.loads(path.read_text())
        *outer, last = key.split(".")
        for name in outer:
            place = place[name]
        assert place[last] != value
        place[last] = value
        path.write_text(json.dumps(made))

    return tamper


FALSE: dict[str, tuple[Any, Any]] = {  # values of submission.json, and those that the run gives
    "bytes_total": (9, 1520),
    "val_bpb": (1.4, 1.45),
    "val_bpb_std": (0.007, 0.07071068),
    "date": ("2027-01-01", "2026-04-30"),
    "author": ("Eve", "Ada"),
    "blurb": ("Better.", "A sentence."),
    "seed_results.1.artifact_bytes": (1500, 1519),
    "seed_results.2.val_bpb": (1.3, 1.5),
    "seed_results.2.val_loss": (2.1, 3.11916231),
    "seed_results.1.steps": (30_000, 20),
    "seed_results.1.step_avg_ms": (0.1, 125.0),
    "seed_results.1.eval_time_s": (1.5, 2.5),
}


@pytest.mark.parametrize("key", FALSE)
def test_no_value_of_the_record_may_be_another(folder: Path, results: Path, key: str):
    value, expected = FALSE[key]
    change_record(key, value)(folder)
    assert found(folder, results) == [f"submission.json: {key}: {value}; expected {expected}"]


def test_no_line_of_a_log_may_be_another(folder: Path, results: Path):
    """Every figure of every line: times and steps as well as scores."""
    path = folder / "train_seed1.log"
    lines = path.read_text().splitlines()
    assert sum("time:" in line for line in lines) == 2
    for place, line in enumerate(lines):
        for figure in re.finditer(r"(?<!\w)\d[\d.]*", line):
            changed = line[: figure.start()] + "7" + figure[0] + line[figure.end() :]
            path.write_text("\n".join([*lines[:place], changed, *lines[place + 1 :]]) + "\n")
            assert found(folder, results) == [
                f"train_seed1.log:{place + 1}: {changed!r}; expected {line!r}"
            ]


TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "log_time": (
        lambda folder: change(folder / "train_seed1.log", "eval_time:2500ms", "eval_time:1ms"),
        "train_seed1.log:14: 'quantized_sliding_window_ngram7 val_loss:2.9112 val_bpb:1.4000 "
        "eval_time:1ms'; expected 'quantized_sliding_window_ngram7 val_loss:2.9112 val_bpb:1.4000 "
        "eval_time:2500ms'",
    ),
    "log_more": (
        lambda folder: change(folder / "train_seed1.log", "\nseed:1\n", "\nseed:1\nmore\n"),
        "train_seed1.log:3: 'more'; expected 'world_size:1 grad_accum_steps:8'",
    ),
    "log_ends": (
        lambda folder: change(folder / "train_seed2.log", "\nquantized", "\n#quantized"),
        "train_seed2.log:14: '#quantized_sliding_window_ngram7 val_loss",
    ),
    "date": (
        lambda folder: change(folder / "submission.json", "2026-04-30", "30 April"),
        "submission.json: date: '30 April'; expected a day as 2026-04-30",
    ),
    "no_author": (
        lambda folder: change(folder / "submission.json", '"Ada"', '""'),
        "submission.json: author: ''; expected a length of 1 to 2000",
    ),
    "not_json": (
        lambda folder: (folder / "submission.json").write_text("{"),
        "submission.json: not valid JSON",
    ),
    "not_python": (
        lambda folder: (folder / "train_gpt.py").write_bytes(CODE[:-2] + b"\n "),
        "train_gpt.py: not Python",
    ),
    "other_log": (
        lambda folder: shutil.copy(folder / "train_seed1.log", folder / "train_seed9.log"),
        "train_seed9.log: of a seed that the run does not have",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_is_false_is_named(folder: Path, results: Path, name: str):
    tamper, line = TAMPERED[name]
    tamper(folder)
    (first,) = found(folder, results)
    assert first.startswith(line)


def test_sizes_are_measured(folder: Path, results: Path):
    """Neither the script nor the packed network is taken at its word."""
    (folder / "train_gpt.py").write_bytes(CODE + b"# more\n")
    lines = found(folder, results)
    assert "train_seed1.log:8: 'Code size: 18 bytes'; expected 'Code size: 25 bytes'" in lines
    assert "submission.json: bytes_total: 1520; expected 1527" in lines
    (folder / "train_gpt.py").write_bytes(CODE)
    (results / "models/m/seed2/artifact.bin").write_bytes(b"a" * 2000)
    assert "submission.json: bytes_total: 1520; expected 2518" in found(folder, results)
    (results / "memories/t.bin").write_bytes(b"another")
    with pytest.raises(StageError, match=r"memories: no memory [0-9a-f]{12}… in it"):
        found(folder, results)


def test_seeds_must_be_the_runs(folder: Path, results: Path):
    made = json.loads((folder / "submission.json").read_text())
    made["seeds"] = [1]
    del made["seed_results"]["2"]
    (folder / "submission.json").write_text(json.dumps(made))
    seeds, missing = found(folder, results)
    assert seeds == "submission.json: seeds: (1,); expected (1, 2)"
    assert missing.startswith("submission.json: seed_results.2: nothing; expected {'val_loss': ")


def test_all_that_is_wrong_is_listed(folder: Path, results: Path):
    (folder / "README.md").unlink()
    change_record("val_bpb", 1.4)(folder)
    change_record("seed_results.2.steps", 3)(folder)
    TAMPERED["log_time"][0](folder)
    assert len(found(folder, results)) == 4


def test_over_the_limit(folder: Path, results: Path):
    (line,) = problems(folder, results, 1520, False, SETTINGS)
    assert line == f"{folder}: 1,520 bytes; expected less than 1,520"


def test_a_row_that_is_no_code_length_must_be_allowed(results: Path, tmp_path: Path):
    write_folder(tmp_path / "folder", results, "hashed")
    (line,) = found(tmp_path / "folder", results)
    assert line == (
        "submission.json: row hashed is no code length; expected one that is, or --allow-invalid"
    )
    assert found(tmp_path / "folder", results, allow=True) == []
    assert "[ ] the score is a code length" in (tmp_path / "folder/README.md").read_text()


def test_a_row_that_is_not_there_or_trains_nothing(folder: Path, results: Path):
    assert best_row(results) == ROW
    change(folder / "submission.json", '"row": "exact"', '"row": "memory"')
    with pytest.raises(StageError, match="row memory: has no model; what is handed in trains one"):
        found(folder, results)
    change(folder / "submission.json", '"row": "memory"', '"row": "exakt"')
    with pytest.raises(
        StageError, match=r"summary\.csv: no row 'exakt'; it has memory, hashed, e"
    ):
        found(folder, results)


@pytest.mark.parametrize("key", ["author", "github_id", "date"])
def test_who_hands_in_must_be_said(results: Path, key: str):
    with pytest.raises(StageError, match=rf"config key `submission\.{key}`: null; expected yours"):
        record(FinishedRow(results, ROW), WHO | {key: None}, 9)


def test_requirements_are_pins_of_what_is_imported(tmp_path: Path):
    (tmp_path / "pins.txt").write_text("# all\ntorch==2.1\nnumpy==2.0\nsnakemake==9\n")
    assert requirements(tmp_path / "pins.txt", {"numpy", "torch", "llvmlite"}) == (
        "torch==2.1\nnumpy==2.0\n"
    )


def test_the_command_ends_with_1_if_anything_is_wrong_and_2_for_wrong_flags(
    results: Path, tmp_path: Path
):
    """With settings as a configuration gives them, which it finds by what the job recorded."""
    settings = Specs(resolve_config(read_default(), SCHEMA), tmp_path).write_submission()
    settings["submission"] = WHO
    settings["rows"] = {ROW: settings["rows"]["exact15_bayes_memory"]}
    folder = tmp_path / "folder"
    write_folder(folder, results, settings=settings)
    command = [sys.executable, STAGES / "check_submission.py", "--results", results]

    def run(*arguments: str | Path) -> subprocess.CompletedProcess:
        return subprocess.run([*command, *arguments], capture_output=True, text=True)

    record_jobs(folder, results)
    with pytest.raises(StageError, match=r"specs: no write_submission\.spec\.json, as "):
        made_with(results)
    (results / "specs").mkdir()
    spec = results / "specs" / "write_submission.abc.json"
    spec.write_text(json.dumps({"settings": settings}))
    (results / "specs" / "write_submission.aaa.json").write_text("{}")
    record_jobs(folder, results, sha256_of(spec))
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "README.md").unlink()
    done = run(folder)
    assert (done.returncode, done.stdout) == (1, f"{folder}/README.md: missing\n")
    done = run(folder / "none")
    assert done.returncode == 2 and "none: no such folder" in done.stderr


def record_jobs(folder: Path, results: Path, spec: str = "spec") -> None:
    """Provenance of the tables and of the folder."""
    for job, files in (
        ("aggregate_seeds", [results / "summary.csv", results / "seeds.csv"]),
        ("write_submission", list(folder.iterdir())),
    ):
        wrote = {str(file): {"sha256": sha256_of(file), "bytes": 9} for file in files}
        value = {"job": f"provenance/{job}", "spec": spec, "read": {}, "sources": {}}
        write_json(results / "provenance" / f"{job}.json", value | {"wrote": wrote})


def test_tables_and_scripts_that_changed_since_are_named(folder: Path, results: Path):
    assert len(list(altered(folder, results))) == 2, "no provenance is no proof"
    record_jobs(folder, results)
    (folder / "README.md").write_text("mine")
    assert list(altered(folder, results)) == []
    change(results / "seeds.csv", "1.4,", "1.3,")
    change(folder / "train_gpt.py", "a script", "a Script")
    assert list(altered(folder, results)) == [
        f"{results}/seeds.csv: not the file that aggregate_seeds wrote last",
        f"{folder}/train_gpt.py: not the file that write_submission wrote last",
    ]


def test_parts_that_moved_are_named(results: Path, tmp_path: Path):
    write_folder(tmp_path / "folder", results)
    assert "anything before them moved: none" in (tmp_path / "folder/README.md").read_text()
    causal = {"ok": False, "targets": [5], "broken": ["counting", "mixing"]}
    audit = {"checks": AUDIT["checks"] | {"causal": causal}}
    write_json(results / "rows" / ROW / "audit.json", audit)
    write_folder(tmp_path / "moved", results)
    words = "1 targets changed with all behind them; parts in which anything before them moved: "
    assert f"- [ ] C1, prefix only: {words}counting, mixing\n" in (
        (tmp_path / "moved/README.md").read_text()
    )


def test_limits_in_words_are_those_of_the_run(results: Path, tmp_path: Path):
    assert LIMITS["artifact_bytes"] == LIMIT
    write_folder(tmp_path / "folder", results)
    text = (tmp_path / "folder/README.md").read_text()
    assert "1,520 bytes in all, below 16,000,000: 1,502 of model and memory, 18 of code" in text
