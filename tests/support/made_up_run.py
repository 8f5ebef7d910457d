"""A finished run of three rows, made up: all that the report shows, without any files."""

import math

import numpy as np
import pandas as pd

from fairway.rows.profile import STRETCHES, Profile
from fairway.tables.aggregation import budget_table, summary_table
from fairway.tables.comparisons import comparisons
from fairway.tables.inputs import RowLedger, SeedSizes
from fairway.tables.metrics import Compared, Done, Metrics, Step
from fairway.tables.report.data import ModelRun, Run

SCORES = {"neural": 1.7, "hashed": 0.8, "exact": 1.4}
LIMITS = {"artifact_bytes": 16_000_000, "train_seconds": 600, "eval_seconds": 600}
CACHE = {"kind": "exact", "max_order": 7, "min_order": 2, "output": "match"}


def profile(bpb: float, orders: int) -> Profile:
    """Sixty documents of 2,000 bytes around a score."""
    generator = np.random.default_rng(1)
    sizes = np.full(60, 2000)
    nats = bpb * math.log(2) * sizes * generator.normal(1, 0.05, 60)
    stretches = np.full(STRETCHES, nats.sum() / STRETCHES)
    targets = np.arange(orders) + 3
    return Profile(
        *("spec", nats, sizes, stretches, np.full(STRETCHES, 60 * 2000 // STRETCHES)),
        *(targets, targets // 2, targets * 0.7),
    )


def seeds_frame(rows: list[str], seeds: list[int]) -> pd.DataFrame:
    """Every row and seed as aggregation has them."""
    parts = ("training", "calibration", "quantising", "packing")
    parts += ("loading", "scoring", "counting", "mixing")
    found = []
    for row in rows:
        for place, seed in enumerate(seeds):
            bpb = SCORES[row] + 0.001 * (place - (len(seeds) - 1) / 2)
            code, more = row != "hashed", 0.0 if row != "hashed" else 2.7
            line = {"row": row, "model": "ebls", "cache": "c", "gate": "g", "seed": seed}
            line |= {"bpb": bpb, "nats": bpb * 1e5, "bytes": 144_270, "targets": 60_000}
            line |= {"original_bytes": 144_270, "text": "original"}
            line |= {"z_mean": 1.0 if code else 135.6, "bpb_normalized": bpb + more}
            line |= {"bpb_normalized_error": 0.0 if code else 0.05}
            line |= {"is_code_length": code, "artifact_bytes": 1_000_000}
            line |= {"code_counted": "decoder" if code else "scoring"}
            found.append(line | dict.fromkeys(parts, 2.5))
    table = pd.DataFrame(found)
    return table.assign(train_seconds=10.0, eval_seconds=10.0)


def audit(code: bool) -> dict:
    checks = {name: {"ok": code} for name in ("causal", "score_before_update", "null_stream")}
    mass = 1.0 if code else 135.6
    return {"checks": checks | {"normalised": {"ok": code, "mean_z": mass, "max_z": mass}}}


def row_ledger(code: bool) -> RowLedger:
    """2 MB of memory, and what a hashed row's scorer has."""
    sizes = SeedSizes(1_000_000, 3_050_000, "a")
    kind = "decoder" if code else "scoring"
    return RowLedger(kind, 16_000_000, 2_000_000, "m", 50_000, "b", 258_452, {"1": sizes})


def made_up_run(rows: list[str] | None = None, seeds: list[int] | None = None) -> Run:
    """The run; fewer rows or seeds where named."""
    rows, seeds = rows or list(SCORES), seeds or [1, 2, 3]
    frame = seeds_frame(rows, seeds)
    profiles = {row: profile(SCORES[row], 0 if row == "neural" else 8) for row in rows}
    references = {"published": [1.3, 1.5]}
    config = {
        "seeds": seeds,
        "rows": [{"name": row, "model": "ebls", "cache": row, "gate": "uniform"} for row in rows],
        "gates": {"uniform": {"kind": "entropy", "threshold": 4.0}},
        "caches": {row: CACHE for row in rows},
    }
    if rows == ["neural"]:
        config["gates"] = {}
    sections = {name: {"packed": 1000, "raw": 2000} for name in ("index", "int6")}
    ledger = {"sections": sections, "room_bytes": 69_013, "total_bytes": 71_013}
    ledger |= {"limit_bytes": 16_000_000, "headroom_bytes": 15_928_987, "artifact_sha256": "a"}
    steps = [Step(step, 7 - step / 10, 1.0, 7253, step / 5) for step in (10, 20)]
    both = [
        Compared("compared", step, 7 - step / 10, 6.75 - step / 10, 512, step < 20, 0.5)
        for step in (10, 20)
    ]
    metrics = {seed: Metrics(steps, both, Done("done", 20, 4.0, 99)) for seed in seeds}
    layers = [{"name": f"blocks.{i}.q.weight", "error": 1e-4, "rtn_error": 2e-4} for i in range(4)]
    return Run(
        config=config,
        summary=summary_table(frame, LIMITS),
        seeds=frame,
        budget=budget_table(frame, LIMITS).replace({"over_budget": {"": None}}),
        compared=comparisons(frame, profiles, references, np.random.default_rng(0)),
        manifest={},
        profiles=profiles,
        calibration={row: np.array([[9, 6.0, 5], [40, 12.0, 13]]) for row in rows},
        audits={row: audit(row != "hashed") for row in rows},
        proofs={row: {"bytes": 4096, "decoded": True} for row in rows if row != "hashed"},
        ledgers={row: row_ledger(row != "hashed") for row in rows},
        models={"ebls": ModelRun(metrics, layers, ledger)},
    )
