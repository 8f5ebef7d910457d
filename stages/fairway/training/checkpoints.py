"""What a training leaves: its checkpoint, and on the way a state to resume from."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairway.files.records import Amount, Natural, Positive, build
from fairway.files.tensors import load_tensors, save_tensors
from fairway.model.architecture import ModelConfig
from fairway.model.network import Model
from fairway.model.shapes import require_state
from fairway.stage import StageError, parse_json

_METRICS = "metrics"


@dataclass(frozen=True)
class _About:
    """The metadata of a checkpoint, each value as JSON."""

    config: ModelConfig
    spec: str
    seed: Natural
    tokenizer_sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """A trained model: its float32 weights by their names in the model's state, and origin."""

    config: ModelConfig
    tensors: dict[str, Tensor]
    spec: str
    seed: int
    tokenizer_sha256: str

    def save(self, path: Path) -> None:
        """Write as safetensors, atomically; equal content gives equal bytes."""
        about = _About(self.config, self.spec, self.seed, self.tokenizer_sha256)
        metadata = {key: json.dumps(value) for key, value in asdict(about).items()}
        save_tensors(path, self.tensors, metadata)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read; raises StageError naming the file if it is damaged or no checkpoint."""
        tensors, metadata = load_tensors(path)
        about = build(
            _About, {key: parse_json(value, path) for key, value in metadata.items()}, path
        )
        require_state(about.config, {key: value.shape for key, value in tensors.items()}, path)
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float32:
                raise StageError(f"{path}: {name} is {tensor.dtype}; expected float32")
        return cls(about.config, tensors, about.spec, about.seed, about.tokenizer_sha256)

    def model(self) -> Model:
        """The model with these weights, on the CPU, in evaluation mode."""
        model = Model(self.config)
        model.load_state_dict(self.tensors)
        return model.eval()


@dataclass(frozen=True)
class Resumed:
    """A training up to a step: steps done and their seconds, SWA snapshots, lines of metrics.

    tensors: what `Training.state` gave.
    """

    done: int
    seconds: float
    snapshots: int
    lines: list[str]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class _Progress:
    """The metadata of a resume file, each value as JSON."""

    identity: dict[str, Any]
    done: Positive
    seconds: Amount
    snapshots: Natural


@dataclass(frozen=True)
class ResumeFile:
    """A training state on disk: safetensors, the tensors of the state and `metrics`, uint8.

    identity: what the training depends on (spec, seed, data); a state of another is not used.
    """

    path: Path
    identity: dict[str, Any]

    def save(self, state: Resumed) -> None:
        """Replace the file by a state, atomically."""
        progress = _Progress(self.identity, state.done, state.seconds, state.snapshots)
        lines = torch.frombuffer(
            bytearray("\n".join(state.lines).encode() + b"\n"), dtype=torch.uint8
        )
        metadata = {key: json.dumps(value) for key, value in asdict(progress).items()}
        save_tensors(self.path, state.tensors | {_METRICS: lines}, metadata)

    def load(self, like: dict[str, Tensor]) -> Resumed | None:
        """The saved state, on the CPU; None, with a note on stderr, if it cannot be used.

        like: tensors of the types and shapes that the state must have.
        """
        if not self.path.is_file():
            return None
        try:
            tensors, metadata = load_tensors(self.path)
            about = {key: parse_json(value, "metadata") for key, value in metadata.items()}
            progress = build(_Progress, about, "metadata")
            lines = bytes(tensors.pop(_METRICS, torch.zeros(0)).to(torch.uint8).numpy()).decode()
        except (StageError, ValueError):
            return self._ignore("it is damaged")
        for key, value in self.identity.items():
            if progress.identity.get(key) != value:
                return self._ignore(f"it is of another {key}")
        if {name: _kind(found) for name, found in tensors.items()} != {
            name: _kind(found) for name, found in like.items()
        }:
            return self._ignore("its tensors are not those of this training")
        done, seconds, snapshots = progress.done, progress.seconds, progress.snapshots
        return Resumed(done, seconds, snapshots, lines.splitlines(), tensors)

    def remove(self) -> None:
        """Delete the file, if there is one."""
        self.path.unlink(missing_ok=True)

    def _ignore(self, reason: str) -> None:
        print(f"{self.path}: not resumed from, {reason}; training anew", file=sys.stderr)


def _kind(tensor: Tensor) -> tuple[torch.dtype, torch.Size]:
    return tensor.dtype, tensor.shape
