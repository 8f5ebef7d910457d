"""Scores: the neural model's nll and entropy at every target of one rank."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairway.files.arrays import FIRST_TARGET, TEXT, Layout, load_arrays, save_arrays

_ROUNDING = 1e-3  # nats by which a float32 may miss 0
_LAYOUTS = {
    "first_target": FIRST_TARGET,
    "nll": Layout("float32", ("targets",), low=-_ROUNDING),
    "entropy": Layout("float32", ("targets",), low=-_ROUNDING),
    "artifact_sha256": TEXT,
    "spec": TEXT,
}


@dataclass(frozen=True)
class Scores:
    """nll and entropy in nats, float32 (targets,), of targets first_target, first_target+1, …

    artifact_sha256 names the packed model that made them; spec the settings and code.
    """

    first_target: int
    nll: np.ndarray
    entropy: np.ndarray
    artifact_sha256: str
    spec: str

    def save(self, path: Path) -> None:
        """Write as .npz, atomically."""
        save_arrays(path, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> "Scores":
        """Read and check; raises StageError naming the file."""
        return cls(**load_arrays(path, **_LAYOUTS))
