"""Scores: the neural model's nll and entropy at every target of one rank."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairway.files.arrays import load_arrays, save_arrays
from fairway.stage import StageError


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
        found = load_arrays(path, "first_target", "nll", "entropy", "artifact_sha256", "spec")
        nll, entropy = found["nll"], found["entropy"]
        if nll.shape != entropy.shape or nll.ndim != 1:
            raise StageError(f"{path}: nll {nll.shape} and entropy {entropy.shape} do not match")
        if not (np.isfinite(nll).all() and np.isfinite(entropy).all()):
            raise StageError(f"{path}: nll or entropy is not finite")
        return cls(
            int(found["first_target"]),
            nll,
            entropy,
            str(found["artifact_sha256"]),
            str(found["spec"]),
        )
