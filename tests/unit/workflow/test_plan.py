"""The plan: what is stale by content, above all when files of the corpus are others."""

import os
from pathlib import Path

import pytest
from snakemake.io.flags import is_flagged

from fairway.files.spec import Spec
from fairway.provenance import Recording
from fairway.workflow.jobs import provenance_pattern
from fairway.workflow.layers import read_layer
from fairway.workflow.plan import Plan

ROOT = Path(__file__).resolve().parents[3]
CORPUS_JOBS = {provenance_pattern(stage) for stage in ("train_tokenizer", "encode_corpus")}


def plan_of(**corpus: object) -> Plan:
    config = read_layer(ROOT / "config.yaml")
    config["corpus"] |= {"kind": "text", "paths": ["text/*.txt"]} | corpus
    return Plan(config, ROOT)


@pytest.fixture(autouse=True)
def text(tmp_path, monkeypatch) -> Path:
    """Two text files, and the provenance of a corpus made from them."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "text"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(f"text of {name}")
    plan = plan_of()
    for stage in ("train_tokenizer", "encode_corpus"):
        spec = Spec({}, plan.specs.sha256(stage))
        Recording(Path(provenance_pattern(stage)), spec, sources=plan.sources).finish()
    return folder


def stale(**corpus: object) -> set[str]:
    return CORPUS_JOBS & set(plan_of(**corpus).stale)


def test_corpus_of_the_same_files_is_current(text):
    assert stale() == set()
    os.utime(text / "a.txt", (9e9, 9e9))
    assert stale() == set(), "the same text"


@pytest.mark.parametrize("seconds", [-1000, 1000])
def test_file_replaced_by_an_older_or_newer_one(text, seconds):
    when = (text / "a.txt").stat().st_mtime + seconds
    (text / "a.txt").write_text("TEXT of a.txt")
    os.utime(text / "a.txt", (when, when))
    assert stale() == CORPUS_JOBS


def test_file_added_removed_or_named_by_a_turned_link(text):
    (text / "c.txt").write_text("text of c.txt")
    assert stale() == CORPUS_JOBS
    (text / "c.txt").unlink()
    assert stale() == set()
    text.rename(text.with_name("v1"))
    text.with_name("v2").mkdir()
    for name in ("a.txt", "b.txt"):
        (text.with_name("v2") / name).write_text("another")
    text.symlink_to("v2")
    assert stale() == CORPUS_JOBS
    (text.with_name("v1") / "b.txt").unlink()
    text.unlink()
    text.symlink_to("v1")
    assert stale() == CORPUS_JOBS


def test_nothing_is_hashed_while_sources_are_as_they_were(monkeypatch):
    monkeypatch.setattr("fairway.provenance.sha256_of", lambda path: pytest.fail(f"{path} hashed"))
    assert stale() == set()


def test_every_job_of_the_table_is_stale_before_it_has_run():
    plan = plan_of()
    jobs = set(plan.specs.of_jobs())
    assert jobs - CORPUS_JOBS <= set(plan.stale) and not plan.table_is_current()
    of_models = len(plan.models) * len(plan.seeds) * (4 + len(plan.ranks))
    of_caches = 2 * len(plan.caches) + len(plan.memories)
    of_rows = sum(2 + len(plan.row_seeds(row)) for row in plan.rows) + len(plan.decodable)
    assert len(jobs) == 2 + of_models + of_caches + of_rows
    assert provenance_pattern("aggregate_seeds") in plan.stale


def test_specs_are_missing_until_they_hold_their_text():
    plan = plan_of()
    missing = plan.missing_specs()
    path, text = next(iter(missing.items()))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    assert path not in plan.missing_specs() and len(missing) == len(plan.missing_specs()) + 1
    Path(path).write_text(text.replace("1", "2"))
    assert path in plan.missing_specs()


def test_before_a_run_old_specs_go_and_times_become_present(text):
    plan = plan_of()
    used, unused = plan.specs.path("mix_scores", "hashed7"), "results/specs/mix_scores/x.0123.json"
    for path in (used, unused):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("{}")
        os.utime(path, (9e9, 9e9))
    other = plan_of(vocabulary=512)
    made = other.specs.path("encode_corpus")
    Path(made).write_text(other.specs.texts[made])
    spec = Spec({}, other.specs.sha256("encode_corpus"))
    Recording(Path(provenance_pattern("encode_corpus")), spec).finish()
    plan.begin()
    assert Path(used).exists() and not Path(unused).exists()
    assert Path(made).exists(), "outputs that are there were made under it"
    assert Path(used).stat().st_mtime < 9e9


def test_after_a_run_a_stage_has_one_spec():
    """Until then the former one is of outputs that are there."""
    former, plan = plan_of(vocabulary=512), plan_of()
    names = "encode_corpus", "train_tokenizer"
    old, kept = (Path(former.specs.path(name)) for name in names)
    new, _ = (Path(plan.specs.path(name)) for name in names)
    waited_for = Path("results/specs/estimate.0123.json")
    old.parent.mkdir(parents=True)
    waited_for.write_text("{}")
    for each, name in ((plan, names[0]), (former, names[1])):
        spec = Spec({}, each.specs.sha256(name))
        Recording(Path(provenance_pattern(name)), spec).finish()
    for specs in (former.specs, plan.specs):
        for path, text in specs.texts.items():
            Path(path).write_text(text)
    plan.end()
    assert new.exists() and not old.exists()
    assert kept.exists(), "its outputs have not been made again"
    assert waited_for.exists(), "of no job that was asked for"


def test_the_time_of_a_file_that_is_waited_for_counts_for_stale_jobs_alone():
    """Or Snakemake leaves them out behind the job that makes the file, though they are forced."""
    plan = plan_of()
    made = plan.waited_for("mix_scores", "results/rows/{row}/ledger.json")
    neural = {"row": "neural", "seed": "1337"}
    assert is_flagged(made(neural), "ancient"), "within a job nothing is asked"
    plan.force = lambda job: None
    assert made(neural) == "results/rows/neural/ledger.json"
    assert not is_flagged(made(neural), "ancient"), "nothing is there, so all is stale"
    plan.stale.clear()
    assert is_flagged(made(neural), "ancient")
