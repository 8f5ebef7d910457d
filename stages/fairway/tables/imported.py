"""Runs of other people's entries as tables of the form of ours, as far as their logs go."""

import math
import re

import pandas as pd

from fairway.tables.aggregation import SUMMARY_COLUMNS
from fairway.tables.contest_logs import ContestRun

UNKNOWN = ("model", "cache", "gate", "z_mean", "bpb_normalized", "is_code_length")


def imported_seeds(name: str, runs: list[ContestRun]) -> pd.DataFrame:
    """One line per seed, as logs order them: those columns of results/seeds.csv that logs know.

    Columns beside those: `val_loss` (nats per token), `steps`, `parameters`.
    """
    return pd.DataFrame(
        {
            "row": name,
            **dict.fromkeys(UNKNOWN),
            "seed": run.seed,
            "bpb": run.val_bpb,
            "val_loss": run.val_loss,
            "artifact_bytes": run.sizes.get("total"),
            "steps": run.steps,
            "parameters": run.parameters,
            "train_seconds": run.train_seconds,
            "eval_seconds": run.eval_seconds,
            "prefill_seconds": max(run.prefill_seconds.values(), default=None),
        }
        for run in runs
    )


def imported_summary(seeds: pd.DataFrame) -> pd.DataFrame:
    """One line in the columns of results/summary.csv; what logs do not say is empty."""
    line = dict.fromkeys(SUMMARY_COLUMNS)
    line |= {
        "row": seeds["row"].iloc[0],
        "seeds": len(seeds),
        "bpb_mean": seeds["bpb"].mean(),
        "bpb_std": seeds["bpb"].std(ddof=1),
        **{f"{key}_max": seeds[key].max() for key in ("artifact_bytes", "train_seconds")},
        "eval_seconds_max": seeds["eval_seconds"].max(),
    }
    return pd.DataFrame([line])


def in_words(seeds: pd.DataFrame) -> str:
    """Mean, deviation, largest artifact and times, in a few lines."""
    std = seeds["bpb"].std(ddof=1)
    spread = "" if math.isnan(std) else f", std {std:.5f}"
    lines = [f"{seeds['row'].iloc[0]}: BPB {seeds['bpb'].mean():.5f}{spread} ({len(seeds)} seeds)"]
    for key, unit in (("artifact_bytes", "bytes"), ("train_seconds", "s"), ("eval_seconds", "s")):
        if seeds[key].notna().any():
            lines.append(f"  {key.replace('_', ' ')}: at most {seeds[key].max():,.0f} {unit}")
    return "\n".join(lines) + "\n"


def as_reference(name: str, seeds: pd.DataFrame) -> str:
    """The entry for `references` in a configuration; its name in letters that keys may have."""
    key = re.sub(r"\W", "_", name)
    scores = ", ".join(f"{score:.8f}" for score in seeds["bpb"])
    return f"references:\n  {key}: [{scores}]\n"
