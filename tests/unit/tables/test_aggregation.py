"""Tables from sums: one division, n − 1, deltas in config order, foreign files refused."""

import json
import math
from pathlib import Path

import pytest

from fairway.corpus.manifest import Overlap
from fairway.json_text import sealed
from fairway.rows.sums import RankSum, Sums
from fairway.stage import StageError, read_json, sha256_of
from fairway.tables.aggregation import (
    SUMMARY_COLUMNS,
    budget_table,
    over_budget,
    require_current,
    seeds_table,
    summary_table,
)
from fairway.tables.ladder import ablation_markdown

LIMITS = {"artifact_bytes": 16_000_000, "train_seconds": 600, "eval_seconds": 600}


def write(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sealed(json.dumps(value)))


def change(path: Path, changes: dict) -> None:
    write(path, read_json(path) | changes)


def row_ledger(networks: dict[str, int], artifact: str | None = "a", memory: int = 0) -> dict:
    """A row's ledger with 100 bytes of code; networks: bytes by seed."""
    sizes = {
        seed: {
            "network_bytes": size,
            "total_bytes": size + memory + 100,
            "artifact_sha256": artifact,
        }
        for seed, size in networks.items()
    }
    code = {"code_counted": "decoder", "bundle_bytes": 100, "bundle_sha256": "b"}
    limit = {"limit_bytes": 16_000_000, "memory_bytes": memory, "source_bytes": 700}
    limit["memory_sha256"] = "m" if memory else None
    return limit | code | {"seeds": sizes}


def make_row(results: Path, name: str, cache: str, nats: dict[int, list[float]]) -> dict:
    """Files of one row whose ranks have 1,000 bytes each; returns its entry in the settings."""
    judged = {}
    for seed, parts in nats.items():
        folder = results / "models" / "tiny" / f"seed{seed}"
        ledger = {"seed": seed, "artifact_sha256": "a", "total_bytes": 900 + seed, "seconds": 4.0}
        write(folder / "ledger.json", ledger)
        write(folder / "quantize.json", {"calibration_seconds": 2.0, "quantize_seconds": 3.0})
        write(
            folder / "metrics.jsonl",
            {"event": "done", "steps": 9, "seconds": 100.0 + seed, "parameters": 99},
        )
        for rank in range(len(parts)):
            stats = {"load_seconds": 1.0, "seconds": 10.0 + rank}
            write(folder / "scores" / f"rank{rank}.json", stats)
        sums = tuple(
            RankSum(name, seed, rank, 1 + 500 * rank, 500, nats, 1000, 0.2)
            for rank, nats in enumerate(parts)
        )
        file = results / "rows" / name / f"seed{seed}.json"
        Sums("m", "s", "c" if cache != "none" else None, "a", 0.5, sums).save(file)
        of_files = {"artifact_sha256": "a", "sums_sha256": sha256_of(file)}
        z = 1.0 if cache == "none" else 399.0 + 2 * (seed - 1)
        error = 0.0 if cache == "none" else 0.03 + seed / 1000
        judged[str(seed)] = of_files | {
            "bpb_normalized": 3.0 + seed, "mean_z": z, "standard_error": error
        }  # fmt: skip
    write(results / "rows" / name / "ledger.json", row_ledger({str(s): 800 + s for s in nats}))
    write(results / "counts" / "c7" / "stats.json", {"seconds": 7.0})
    text = {"ok": True, "text": "original", "bytes": 2000, "original_bytes": 2000}
    checks = {"same_text": text}
    audit = {"is_code_length": cache == "none", "checks": checks, "seeds": judged}
    write(results / "rows" / name / "audit.json", audit)
    entry = {"name": name, "model": "tiny", "cache": cache, "gate": cache, "memory": None}
    return entry | {"seeds": list(nats), "decodable": False}


@pytest.fixture
def settings(tmp_path) -> dict:
    rows = [
        make_row(tmp_path, "z_neural", "none", {1: [1000.0, 500.0], 2: [1100.0, 600.0]}),
        make_row(tmp_path, "a_cached", "c7", {1: [500.0, 250.0], 2: [600.0, 250.0]}),
    ]
    return {"rows": rows, "seeds": [1, 2], "ranks": 2, "limits": LIMITS}


def test_summary(tmp_path, settings):
    seeds = seeds_table(tmp_path, settings)
    summary = summary_table(seeds, LIMITS)
    assert list(summary.columns) == SUMMARY_COLUMNS
    assert list(summary["row"]) == ["z_neural", "a_cached"], "config order, not the alphabet's"
    first = [1500 / math.log(2) / 2000, 1700 / math.log(2) / 2000]
    assert seeds["bpb"][:2].tolist() == pytest.approx(first, rel=1e-15)
    assert summary["bpb_mean"][0] == pytest.approx(sum(first) / 2)
    assert summary["bpb_std"][0] == pytest.approx((first[1] - first[0]) / math.sqrt(2))
    assert math.isnan(summary["delta_bpb"][0])
    assert summary["delta_bpb"][1] == pytest.approx(-(750 + 850) / math.log(2) / 4000)
    assert summary["is_code_length"].tolist() == [True, False]
    assert seeds["z_mean"].tolist() == [1, 1, 399, 401] and summary["z_mean"][1] == 400
    assert summary["bpb_normalized_error_max"].tolist() == [0.0, 0.032]
    assert set(summary["code_counted"]) == {"decoder"}
    assert summary["artifact_bytes_max"].tolist() == [902, 902]
    assert summary["train_seconds_max"].tolist() == [111.0, 111.0]
    assert summary["eval_seconds_max"].tolist() == [12.5, 19.5]


@pytest.mark.parametrize(
    ("text", "original", "holds", "verdict", "line"),
    [
        ("original", 2000, True, "yes", "Divided by 2,000 bytes, the original text, which the to"),
        ("decoded", None, True, "of the decoded text", "decode to; the original is not known."),
        ("decoded", 2000, False, "no", "That is not the original of 2,000 bytes, so no score"),
        ("decoded", 2500, False, "no", "That is not the original of 2,500 bytes, so no score"),
    ],
)
def test_table_says_what_it_is_a_code_length_of(
    tmp_path, settings, text, original, holds, verdict, line
):
    for row in ("z_neural", "a_cached"):
        path = tmp_path / "rows" / row / "audit.json"
        checks = read_json(path)["checks"]
        checks["same_text"] |= {"text": text, "original_bytes": original}
        change(path, {"checks": checks, "is_code_length": holds and row == "z_neural"})
    summary = summary_table(seeds_table(tmp_path, settings), LIMITS)
    assert summary["text"].tolist() == [text] * 2
    assert summary["bytes"].tolist() == [2000, 2000]
    assert summary.to_csv().splitlines()[1].endswith(f",2000,{original or ''},{text},decoder,,0.0")
    ladder = ablation_markdown(summary, [1, 2])
    first, second = ladder.splitlines()[2:4]
    assert first.endswith(f" | {verdict} |") and second.endswith(" | no |")
    assert line in ladder.splitlines()[-1]


def test_delta_is_not_taken_across_models(tmp_path, settings):
    seeds = seeds_table(tmp_path, settings)
    seeds.loc[seeds["row"] == "a_cached", "model"] = "other"
    summary = summary_table(seeds, LIMITS)
    assert summary["delta_bpb"].isna().all()
    assert "nan" not in ablation_markdown(summary, [1, 2])


def test_single_seed_has_no_std(tmp_path, settings):
    for row in settings["rows"]:
        row["seeds"] = [1]
    table = summary_table(seeds_table(tmp_path, settings), LIMITS)
    assert table["bpb_std"].isna().all()
    text = ablation_markdown(table, [1])
    assert "nan" not in text
    assert "One seed: of the noise between seeds nothing can be said." in text


def without_model(results: Path) -> dict:
    """A row of one score that nothing was trained for, its cache behind a memory; its entry."""
    row = make_row(results, "m_only", "c7", {0: [400.0, 200.0]})
    folder = results / "rows" / "m_only"
    change(folder / "seed0.json", {"scores_spec": "", "artifact_sha256": ""})
    audited = read_json(folder / "audit.json")["seeds"]["0"]
    of_files = {"artifact_sha256": "", "sums_sha256": sha256_of(folder / "seed0.json")}
    change(folder / "audit.json", {"seeds": {"0": audited | of_files}})
    write(folder / "ledger.json", row_ledger({"0": 0}, None, memory=4900))
    write(results / "memories" / "all.json", {"seconds": 8.0})
    return row | {"model": "none", "memory": "all"}


def test_a_row_without_a_model_has_one_score_and_its_memorys_bytes(tmp_path, settings):
    settings["rows"].append(without_model(tmp_path))
    seeds = seeds_table(tmp_path, settings)
    assert seeds["seed"].isna().tolist() == [False] * 4 + [True]
    summary = summary_table(seeds, LIMITS)
    last = summary.iloc[-1]
    assert last["seeds"] == 1 and math.isnan(last["bpb_std"]) and math.isnan(last["delta_bpb"])
    assert last["bpb_mean"] == pytest.approx(600 / math.log(2) / 2000)
    assert (last["artifact_bytes_max"], last["train_seconds_max"]) == (5000, 8.0)
    assert last["eval_seconds_max"] == 7.5, "counting and mixing"
    line = next(s for s in ablation_markdown(summary, [1, 2]).splitlines() if "m_only" in s)
    assert line.startswith("| m_only | 0.4328 |  |  |")


@pytest.mark.parametrize(
    ("ledger", "message"),
    [
        (row_ledger({"2": 9}), r"seeds \['2'\]; expected 1 as well"),
        (row_ledger({"1": 9}, "b"), "artifact b; expected a"),
        (row_ledger({"1": 9}) | {"bundle_bytes": 99}, "seeds.1.total_bytes: 109; expected 108"),
        (row_ledger({"1": 9}) | {"code_counted": "none"}, "code_counted: 'none'; expected deco"),
        (row_ledger({}), "seeds: {}; expected a length of at least 1"),
    ],
)
def test_a_ledger_that_is_not_the_rows_is_refused(tmp_path, settings, ledger, message):
    write(tmp_path / "rows" / "z_neural" / "ledger.json", ledger)
    with pytest.raises(StageError, match=rf"z_neural/ledger\.json: {message}"):
        seeds_table(tmp_path, settings)


def test_a_score_of_some_model_is_refused(tmp_path, settings):
    settings["rows"].append(without_model(tmp_path))
    change(tmp_path / "rows" / "m_only" / "seed0.json", {"artifact_sha256": "a"})
    with pytest.raises(StageError, match=r"m_only/seed0\.json: artifact a; expected "):
        seeds_table(tmp_path, settings)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("models/tiny/seed2/ledger.json", {"seed": 1}, "seed 1; expected 2"),
        ("models/tiny/seed2/ledger.json", {"artifact_sha256": "b"}, "artifact a; expected b"),
        ("rows/a_cached/seed2.json", {"seconds": 0.6}, "sums of seed 2 .*; expected"),
        ("rows/a_cached/audit.json", {"seeds": {}}, r"audit.json: seeds \[\]; expected 1"),
    ],
)
def test_file_of_another_seed_or_artifact_is_refused(tmp_path, settings, file, changes, message):
    change(tmp_path / file, changes)
    with pytest.raises(StageError, match=message):
        seeds_table(tmp_path, settings)


def test_row_of_another_seed_is_refused(tmp_path, settings):
    folder = tmp_path / "rows" / "z_neural"
    (folder / "seed2.json").write_bytes((folder / "seed1.json").read_bytes())
    with pytest.raises(StageError, match=r"seed2\.json: seed 1; expected 2"):
        seeds_table(tmp_path, settings)


def test_jobs_must_agree(tmp_path):
    with pytest.raises(StageError, match=r"one/two\.json: no such file; run again to make anew"):
        require_current({str(tmp_path / "one" / "two.json"): "spec"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"artifact_sha256": "b"}, r"proof\.json: artifact b; expected a"),
        ({"bundle_sha256": "c"}, r"proof\.json: bundle c; expected b"),
        ({"decoded": False}, r"proof\.json: decoded False; row z_neural claims"),
    ],
)
def test_row_that_claims_a_code_length_needs_its_proof(tmp_path, settings, changes, message):
    settings["rows"][0]["decodable"] = True
    with pytest.raises(StageError, match=r"proof\.json: no such file"):
        seeds_table(tmp_path, settings)
    proof = {"artifact_sha256": "a", "bundle_sha256": "b", "decoded": True}
    file = tmp_path / "rows" / "z_neural" / "proof.json"
    write(file, proof)
    assert len(seeds_table(tmp_path, settings)) == 4
    write(file, proof | changes)
    with pytest.raises(StageError, match=message):
        seeds_table(tmp_path, settings)


def test_unfinished_training_is_refused(tmp_path, settings):
    step = {"step": 3, "loss": 6.5, "lr_scale": 1.0, "tokens_per_second": 99, "seconds": 1.0}
    write(tmp_path / "models/tiny/seed1/metrics.jsonl", step)
    with pytest.raises(StageError, match="did not finish"):
        seeds_table(tmp_path, settings)


def test_missing_rank_is_refused(tmp_path, settings):
    with pytest.raises(StageError):
        seeds_table(tmp_path, settings | {"ranks": 3})


def test_budget_flags(tmp_path, settings):
    assert over_budget(601, 5, LIMITS) == "train"
    assert over_budget(601, 601, LIMITS) == "train+eval"
    assert over_budget(600, 600, LIMITS) == ""
    limits = LIMITS | {"eval_seconds": 15}
    seeds = seeds_table(tmp_path, settings)
    assert summary_table(seeds, limits)["over_budget"].tolist() == ["", "eval"]
    assert "a_cached (eval)" in ablation_markdown(summary_table(seeds, limits), [1, 2])
    assert budget_table(seeds, limits)["over_budget"].tolist() == ["", "", "eval", "eval"]


def test_markdown_has_a_line_per_row(tmp_path, settings):
    text = ablation_markdown(summary_table(seeds_table(tmp_path, settings), LIMITS), [1, 2])
    assert "standard error is at most 0.032 bits per byte." in text
    assert "One seed" not in text
    body = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(body) == 3 and "| 400 |" in body[2] and "| no |" in body[2]


def test_markdown_says_that_one_target_tells_no_error(tmp_path, settings):
    path = tmp_path / "rows" / "a_cached" / "audit.json"
    judged = read_json(path)["seeds"]
    change(path, {"seeds": {seed: of | {"standard_error": None} for seed, of in judged.items()}})
    text = ablation_markdown(summary_table(seeds_table(tmp_path, settings), LIMITS), [1, 2])
    assert "measured at one target, so the normalised BPB's standard error is not known" in text


def test_markdown_says_what_a_memory_could_recall(tmp_path, settings):
    settings["rows"].append(without_model(tmp_path))
    summary = summary_table(seeds_table(tmp_path, settings), LIMITS)
    text = ablation_markdown(summary, [1, 2], Overlap(20, 2000, 478, 90, 12, 1, (7,)))
    assert "A row without a model has one score" in text
    assert (
        "23.9% of the validation text's runs of 20 tokens occur in the training text, as do more "
        "than half of the runs of 12 of its 90 documents that have any; 1 document is the copy"
    ) in text


@pytest.mark.parametrize(
    ("noise", "mark", "legend"),
    [
        ("", "", None),
        ("seeds", " ≈", "≈: within noise"),
        ("documents", " ≈", "≈: within noise"),
        ("seeds+documents", " ≈", "≈: within noise"),
        ("one seed", "", None),
    ],
)
def test_a_difference_within_noise_is_marked(tmp_path, settings, noise, mark, legend):
    settings["rows"][1]["model"] = settings["rows"][0]["model"]
    summary = summary_table(seeds_table(tmp_path, settings), LIMITS, {"a_cached": noise})
    assert summary["within_noise"].tolist() == ["", noise]
    text = ablation_markdown(summary, [1, 2])
    line = next(line for line in text.splitlines() if "a_cached" in line)
    delta = summary["delta_bpb"][1]
    assert f"| {delta:+.4f}{mark} |" in line
    assert legend is None or legend in text
    assert ("within noise" in text) == (mark != "")
