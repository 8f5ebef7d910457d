"""Scores: the neural model's nll and entropy at every target of one rank."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairway.files.arrays import FIRST_TARGET, TEXT, Layout, load_arrays, save_arrays

VERSION = 1  # of the file
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

    artifact_sha256 names the packed model that made them; spec the settings and code; both are
    empty where there is no model.
    """

    first_target: int
    nll: np.ndarray
    entropy: np.ndarray
    artifact_sha256: str
    spec: str

    def save(self, path: Path) -> None:
        """Write as .npz, atomically."""
        save_arrays(path, VERSION, **self.__dict__)

    @classmethod
    def uniform(cls, first_target: int, last_target: int, vocabulary: int) -> "Scores":
        """Of the uniform distribution over the vocabulary, which no artifact makes."""
        nats = np.full(last_target + 1 - first_target, np.log(vocabulary), dtype=np.float32)
        return cls(first_target, nats, nats, "", "")

    @classmethod
    def load(cls, path: Path) -> "Scores":
        """Read and check; raises StageError naming the file."""
        return cls(**load_arrays(path, VERSION, **_LAYOUTS))
