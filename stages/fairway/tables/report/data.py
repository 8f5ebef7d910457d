"""What the report reads of a finished run: its tables, and the small files beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairway.audit.evidence import RowEvidence
from fairway.gates.match import MatchGate, match_gate
from fairway.rows.entry import NONE, row_seeds
from fairway.rows.profile import Profile
from fairway.stage import StageError, read_json, require_file
from fairway.tables.inputs import RowLedger, read_input
from fairway.tables.metrics import Metrics, read_metrics


@dataclass(frozen=True)
class ModelRun:
    """One model. metrics: by seed; the rest of the first seed."""

    metrics: dict[int, Metrics]
    layers: list[dict[str, Any]]
    ledger: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A finished run. Dicts are by row or model; profiles and calibration of the first seed."""

    config: dict[str, Any]
    summary: pd.DataFrame
    seeds: pd.DataFrame
    budget: pd.DataFrame
    compared: pd.DataFrame
    manifest: dict[str, Any]
    profiles: dict[str, Profile]
    calibration: dict[str, np.ndarray]
    audits: dict[str, dict[str, Any]]
    proofs: dict[str, dict[str, Any]]
    ledgers: dict[str, RowLedger]
    models: dict[str, ModelRun]

    @property
    def gates(self) -> dict[str, tuple[MatchGate, int]]:
        """The match gates in use, by name, each with the highest order of its cache.

        Of a gate in several rows it is the first row's.
        """
        found: dict[str, tuple[MatchGate, int]] = {}
        for row in self.config["rows"]:
            settings = self.config["gates"].get(row["gate"])
            if settings and settings["kind"] != "empirical_bayes":
                cache = self.config["caches"][row["cache"]]
                gate = match_gate(settings, cache["max_order"], cache["kind"] == "hashed")
                found.setdefault(row["gate"], (gate, cache["max_order"]))
        return found


def load_run(results: Path, config: Mapping[str, Any]) -> Run:
    """Everything the report shows. Raises StageError naming a file that is missing or damaged."""
    folders = {row["name"]: results / "rows" / row["name"] for row in config["rows"]}
    first = {row["name"]: row_seeds(config, row)[0] for row in config["rows"]}
    tables = {
        name: read_table(results / f"{file}.csv")
        for name, file in (
            ("summary", "summary"),
            ("seeds", "seeds"),
            ("budget", "budget"),
            ("compared", "statistics"),
        )
    }
    models = dict.fromkeys(row["model"] for row in config["rows"] if row["model"] != NONE)
    proofs = {row: folder / "proof.json" for row, folder in folders.items()}
    return Run(
        config=dict(config),
        manifest=read_json(results / "corpus" / "manifest.json"),
        profiles={
            row: Profile.load(folder / f"seed{first[row]}.profile.npz")
            for row, folder in folders.items()
        },
        calibration={
            row: RowEvidence.load_calibration(folder / f"seed{first[row]}.npz")
            for row, folder in folders.items()
        },
        audits={row: read_json(folder / "audit.json") for row, folder in folders.items()},
        proofs={row: read_json(path) for row, path in proofs.items() if path.is_file()},
        ledgers={
            row: read_input(folder / "ledger.json", RowLedger) for row, folder in folders.items()
        },
        models={
            model: load_model(results / "models" / model, config["seeds"]) for model in models
        },
        **tables,
    )


def load_model(folder: Path, seeds: list[int]) -> ModelRun:
    """Metrics of all seeds; the first seed's quantising and ledger."""
    first = folder / f"seed{seeds[0]}"
    return ModelRun(
        {seed: read_metrics(folder / f"seed{seed}" / "metrics.jsonl") for seed in seeds},
        read_json(first / "quantize.json")["layers"],
        read_json(first / "ledger.json"),
    )


def read_table(path: Path) -> pd.DataFrame:
    """A CSV table of this pipeline."""
    try:
        return pd.read_csv(require_file(path))
    except (ValueError, pd.errors.ParserError) as error:
        raise StageError(f"{path}: not a table ({error})") from None
