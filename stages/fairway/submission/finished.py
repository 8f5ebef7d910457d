"""What a finished run says of one row: what is handed in is made from it, and compared with it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from fairway.rows.entry import NONE
from fairway.stage import StageError, require_file, sha256_of
from fairway.tables.inputs import RowLedger, read_input
from fairway.tables.report.data import read_table


@dataclass(frozen=True)
class FinishedRow:
    """A row of a run's tables, under results/.

    Raises StageError if the tables have no such row, or one that trains nothing.
    """

    results: Path
    row: str

    def __post_init__(self) -> None:
        if self.summary["model"] == NONE:
            raise StageError(f"row {self.row}: has no model; what is handed in trains one")

    @cached_property
    def summary(self) -> pd.Series:
        """Its line of summary.csv."""
        path = self.results / "summary.csv"
        table = read_table(path).set_index("row", drop=False)
        if self.row not in table.index:
            raise StageError(f"{path}: no row {self.row!r}; it has {', '.join(table.index)}")
        return table.loc[self.row]

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """Its lines of seeds.csv, by seed."""
        table = read_table(self.results / "seeds.csv")
        return table[table["row"] == self.row].astype({"seed": int}).set_index("seed")

    def val_loss(self, seed: int) -> float:
        """Nats per token of a seed."""
        return float(self.seeds["nats"][seed] / self.seeds["targets"][seed])

    @property
    def folder(self) -> Path:
        return self.results / "rows" / self.row

    def model_file(self, seed: int, name: str) -> Path:
        """A file of the row's model."""
        return self.results / "models" / self.summary["model"] / f"seed{seed}" / name

    @cached_property
    def memory_bytes(self) -> int:
        """Measured, of the row's memory; 0 without one. StageError if it is not there."""
        wanted = read_input(self.folder / "ledger.json", RowLedger).memory_sha256
        if wanted is None:
            return 0
        for path in sorted((self.results / "memories").glob("*.bin")):
            if sha256_of(path) == wanted:
                return path.stat().st_size
        raise StageError(f"{self.results / 'memories'}: no memory {wanted[:12]}… in it")

    def network_bytes(self, seed: int) -> int:
        """Measured, of the packed network."""
        return require_file(self.model_file(seed, "artifact.bin")).stat().st_size

    def model_bytes(self, seed: int) -> int:
        """Of all that is handed in but the code."""
        return self.network_bytes(seed) + self.memory_bytes


def best_row(results: Path) -> str:
    """The best row of summary.csv that is a code length and has a model; StageError if none is."""
    table = read_table(results / "summary.csv")
    valid = table[table["is_code_length"] & (table["model"] != NONE)]
    if valid.empty:
        raise StageError(f"{results / 'summary.csv'}: no row with a model is a code length")
    return str(valid.loc[valid["bpb_mean"].idxmin(), "row"])
