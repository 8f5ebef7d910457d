"""From the sums, audits, ledgers and timings of all rows and seeds to the tables.

BPB of a row and seed is total nats / ln 2 / total bytes over all ranks, divided once; the mean and
the sample standard deviation (n − 1) are over seeds. Files are found by the rows and seeds of the
spec, never by listing folders, and the provenance of all jobs behind them must agree, so that a
stale or foreign file cannot reach a table.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fairway import provenance
from fairway.rows.entry import NONE
from fairway.rows.sums import Sums
from fairway.stage import StageError, sha256_of
from fairway.tables.inputs import (
    Audit,
    JobStats,
    Ledger,
    Proof,
    QuantizeReport,
    RowLedger,
    ScoreStats,
    SeedFigures,
    SeedSizes,
    read_input,
)
from fairway.tables.metrics import read_metrics

SUMMARY_COLUMNS = [
    *("row", "model", "cache", "gate", "seeds", "bpb_mean", "bpb_std", "delta_bpb", "z_mean"),
    *("bpb_normalized_mean", "bpb_normalized_std", "is_code_length", "artifact_bytes_max"),
    *("train_seconds_max", "eval_seconds_max", "over_budget"),
    *("bytes", "original_bytes", "text", "code_counted", "within_noise"),
    "bpb_normalized_error_max",
]
TRAIN_STEPS = ["training", "calibration", "quantising", "packing"]
EVAL_STEPS = ["loading", "scoring", "counting", "mixing"]
MODEL_STEPS = [*TRAIN_STEPS, "loading", "scoring"]


def require_current(jobs: dict[str, str]) -> None:
    """Raise StageError unless all files are what these jobs made, from each other.

    jobs: hash of each job's spec, by path of its provenance.
    """
    for path, line in provenance.faults(jobs).items():
        raise StageError(f"{line}; run again to make anew what {provenance.name_of(path)} made")


def require_own(path: Path, key: str, found: object, expected: object) -> None:
    """Raise StageError if a file is not of the seed, row or artifact that its place says."""
    if found != expected:
        raise StageError(f"{path}: {key} {found}; expected {expected}; delete it and run again")


def read_model(results: Path, model: str, seed: int, ranks: int) -> dict[str, Any]:
    """Artifact and seconds of one model and seed; nothing of a row that has none."""
    if model == NONE:
        return {"artifact_sha256": ""} | dict.fromkeys(MODEL_STEPS, 0.0)
    folder = results / "models" / model / f"seed{seed}"
    ledger = read_input(folder / "ledger.json", Ledger)
    require_own(folder / "ledger.json", "seed", ledger.seed, seed)
    report = read_input(folder / "quantize.json", QuantizeReport)
    done = read_metrics(folder / "metrics.jsonl").done
    scores = [folder / "scores" / f"rank{rank}.json" for rank in range(ranks)]
    stats = [read_input(path, ScoreStats) for path in scores]
    return {
        "artifact_sha256": ledger.artifact_sha256,
        "training": done.seconds,
        "calibration": report.calibration_seconds,
        "quantising": report.quantize_seconds,
        "packing": ledger.seconds,
        "loading": max(of_rank.load_seconds for of_rank in stats),
        "scoring": max(of_rank.seconds for of_rank in stats),
    }


def read_row(results: Path, row: dict[str, Any], seed: int, ranks: int) -> dict[str, Any]:
    """Everything known of one row and seed: score, audit, sizes, seconds."""
    folder = results / "rows" / row["name"]
    model = read_model(results, row["model"], seed, ranks)
    artifact = model.pop("artifact_sha256")
    sums = _read_sums(folder / f"seed{seed}.json", seed, artifact, ranks)
    audit, audited = _read_audit(folder, seed, artifact)
    ledger, sizes = _read_ledger(folder / "ledger.json", seed, artifact)
    counting = 0.0
    if row["cache"] != NONE:
        counting = read_input(results / "counts" / row["cache"] / "stats.json", JobStats).seconds
    if row["memory"] is not None:
        memory = read_input(results / "memories" / f"{row['memory']}.json", JobStats)
        model["packing"] += memory.seconds
    return {
        "row": row["name"],
        **{key: row[key] for key in ("model", "cache", "gate")},
        "seed": None if row["model"] == NONE else seed,
        "bpb": sums.bits_per_byte,
        "nats": sums.nats,
        "bytes": sums.bytes,
        "original_bytes": audit.checks.same_text.original_bytes,
        "text": audit.checks.same_text.text,
        "targets": sums.targets,
        "z_mean": audited.mean_z,
        "bpb_normalized": audited.bpb_normalized,
        "bpb_normalized_error": audited.standard_error,
        "is_code_length": audit.is_code_length,
        "artifact_bytes": sizes.total_bytes,
        "code_counted": ledger.code_counted,
        **model,
        "counting": counting,
        "mixing": sums.seconds,
    }


def _read_sums(path: Path, seed: int, artifact: str, ranks: int) -> Sums:
    sums = Sums.load(path)
    require_own(path, "seed", sums.seed, seed)
    require_own(path, "artifact", sums.artifact_sha256, artifact)
    if len(sums.sums) != ranks:
        raise StageError(f"{path}: {len(sums.sums)} rank sums; expected {ranks}")
    return sums


def _read_audit(folder: Path, seed: int, artifact: str) -> tuple[Audit, SeedFigures]:
    """A row's audit, and what it has of a seed."""
    path, sums_file = folder / "audit.json", folder / f"seed{seed}.json"
    audit = read_input(path, Audit)
    if str(seed) not in audit.seeds:
        raise StageError(f"{path}: seeds {sorted(audit.seeds)}; expected {seed} as well")
    audited = audit.seeds[str(seed)]
    require_own(path, f"artifact of seed {seed}", audited.artifact_sha256, artifact)
    require_own(path, f"sums of seed {seed}", audited.sums_sha256, sha256_of(sums_file))
    return audit, audited


def _read_ledger(path: Path, seed: int, artifact: str) -> tuple[RowLedger, SeedSizes]:
    """A row's ledger, and what it has of a seed."""
    ledger = read_input(path, RowLedger)
    if str(seed) not in ledger.seeds:
        raise StageError(f"{path}: seeds {sorted(ledger.seeds)}; expected {seed} as well")
    sizes = ledger.seeds[str(seed)]
    require_own(path, "artifact", sizes.artifact_sha256 or "", artifact)
    return ledger, sizes


def check_proof(results: Path, row: dict[str, Any], seed: int) -> None:
    """Refuse a row that claims a code length unless its current artifact's proof decoded."""
    path = results / "rows" / row["name"] / "proof.json"
    proof, artifact = read_input(path, Proof), None
    if row["model"] != NONE:
        ledger_file = results / "models" / row["model"] / f"seed{seed}" / "ledger.json"
        artifact = read_input(ledger_file, Ledger).artifact_sha256
    require_own(path, "artifact", proof.artifact_sha256, artifact)
    shipped = read_input(path.with_name("ledger.json"), RowLedger).bundle_sha256
    require_own(path, "bundle", proof.bundle_sha256, shipped)
    if not proof.decoded:
        raise StageError(f"{path}: decoded {proof.decoded}; row {row['name']} claims a length")


def seeds_table(results: Path, settings: dict[str, Any]) -> pd.DataFrame:
    """One line per row and seed, in config order."""
    ranks = settings["ranks"]
    for row in settings["rows"]:
        if row["decodable"]:
            check_proof(results, row, row["seeds"][0])
    table = pd.DataFrame(
        read_row(results, row, seed, ranks) for row in settings["rows"] for seed in row["seeds"]
    )
    table["seed"] = table["seed"].astype("Int64")  # empty for a row without a model
    table["train_seconds"] = table[TRAIN_STEPS].sum(axis=1)
    table["eval_seconds"] = table[EVAL_STEPS].sum(axis=1)
    return table


def over_budget(train_seconds: float, eval_seconds: float, limits: dict[str, Any]) -> str:
    """Which of the contest's time limits are broken: '', 'train', 'eval' or 'train+eval'."""
    broken = [
        name
        for name, seconds in (("train", train_seconds), ("eval", eval_seconds))
        if seconds > limits[f"{name}_seconds"]
    ]
    return "+".join(broken)


def summary_table(
    seeds: pd.DataFrame, limits: dict[str, Any], noise: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """One line per row in config order; delta_bpb is against the row above, if of its model.

    noise: which chance may have made that difference, by row; see `comparisons.noise`.
    """
    grouped = seeds.groupby("row", sort=False)
    table = grouped[["model", "cache", "gate"]].first()
    table["seeds"] = grouped.size()
    table["bpb_mean"] = grouped["bpb"].mean()
    table["bpb_std"] = grouped["bpb"].std(ddof=1)
    same_model = table["model"] == table["model"].shift()
    table["delta_bpb"] = table["bpb_mean"].diff().where(same_model)
    found = [(noise or {}).get(row, "") for row in table.index]
    table["within_noise"] = pd.Series(found, table.index).where(same_model, "")
    table["z_mean"] = grouped["z_mean"].mean()
    table["bpb_normalized_mean"] = grouped["bpb_normalized"].mean()
    table["bpb_normalized_std"] = grouped["bpb_normalized"].std(ddof=1)
    table["bpb_normalized_error_max"] = grouped["bpb_normalized_error"].max()
    table["is_code_length"] = grouped["is_code_length"].all()
    table["artifact_bytes_max"] = grouped["artifact_bytes"].max()
    table["train_seconds_max"] = grouped["train_seconds"].max().round(3)
    table["eval_seconds_max"] = grouped["eval_seconds"].max().round(3)
    table["over_budget"] = [
        over_budget(train, evaluation, limits)
        for train, evaluation in zip(
            table["train_seconds_max"], table["eval_seconds_max"], strict=True
        )
    ]
    table[["bytes", "text"]] = grouped[["bytes", "text"]].first()
    table["original_bytes"] = grouped["original_bytes"].first().astype("Int64")
    table["code_counted"] = grouped["code_counted"].first()
    return table.reset_index()[SUMMARY_COLUMNS]


def budget_table(seeds: pd.DataFrame, limits: dict[str, Any]) -> pd.DataFrame:
    """Seconds of every step per row and seed, beside the contest's two limits."""
    table = seeds[["row", "seed", *TRAIN_STEPS, "train_seconds", *EVAL_STEPS, "eval_seconds"]]
    table = table.round(3).assign(
        train_limit=limits["train_seconds"], eval_limit=limits["eval_seconds"]
    )
    flags = [
        over_budget(row.train_seconds, row.eval_seconds, limits) for row in table.itertuples()
    ]
    return table.assign(over_budget=flags)
