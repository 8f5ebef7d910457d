"""What benchmarks take of a finished run: a row, by the settings that its results are of.

Beside them may lie specs and models of earlier settings; the row's proof says which is which.
"""

from dataclasses import dataclass
from pathlib import Path

from fairway.files.records import View, build
from fairway.files.spec import read_spec
from fairway.rows.settings import RowOfAnyJob
from fairway.stage import StageError, read_json


@dataclass(frozen=True)
class _Proof(View):
    """The part of a row's proof.json that is read."""

    spec: str
    seed: int


def proven_row(results: Path, row: str) -> tuple[RowOfAnyJob, int]:
    """Settings of a row that is proven, and the seed that it was proven with, the run's first.

    Raises StageError if there is no proof, or not the spec that it was made under.
    """
    path = results / "rows" / row / "proof.json"
    if not path.is_file():
        raise StageError(f"{path}: no such file; expected a finished run with a proof of the row")
    proof = build(_Proof, read_json(path), path)
    for file in (results / "specs" / "prove_row").glob(f"{row}.*.json"):
        spec = read_spec(file, RowOfAnyJob)
        if spec.sha256 == proof.spec:
            return spec.settings, proof.seed
    raise StageError(f"{path}: made under spec {proof.spec[:12]}…, which is not there; run again")
