"""What a training leaves: its checkpoint, and on the way a state to resume from."""

import hashlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fairway.files.tensors import load_tensors, save_tensors
from fairway.model.architecture import ModelConfig
from fairway.model.network import Model
from fairway.stage import StageError, atomic_output


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
        metadata = {
            "config": json.dumps(self.config.to_dict()),
            "spec": self.spec,
            "seed": str(self.seed),
            "tokenizer_sha256": self.tokenizer_sha256,
        }
        save_tensors(path, self.tensors, metadata)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read; raises StageError naming the file if it is damaged or no checkpoint."""
        tensors, metadata = load_tensors(path)
        try:
            return cls(
                ModelConfig.from_dict(json.loads(metadata["config"])),
                tensors,
                metadata["spec"],
                int(metadata["seed"]),
                metadata["tokenizer_sha256"],
            )
        except (KeyError, ValueError, TypeError) as error:
            raise StageError(f"{path}: not a checkpoint ({error!r})") from None

    def model(self) -> Model:
        """The model with these weights, on the CPU, in evaluation mode."""
        model = Model(self.config)
        try:
            model.load_state_dict(self.tensors)
        except RuntimeError as error:
            first = str(error).splitlines()[-1].strip()
            raise StageError(f"checkpoint of seed {self.seed}: {first}") from None
        return model.eval()


@dataclass(frozen=True)
class ResumeFile:
    """A training state on disk: SHA-256 of the rest, then the rest as torch writes it.

    identity: what the training depends on (spec, seed, data); a state of another is not used.
    """

    path: Path
    identity: dict[str, Any]

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file by a state of tensors and plain values, atomically."""
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, "state": state}, buffer)
        content = buffer.getbuffer()
        with atomic_output(self.path) as temporary, temporary.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)

    def load(self) -> dict[str, Any] | None:
        """The saved state, on the CPU; None, with a note on stderr, if it cannot be used."""
        if not self.path.is_file():
            return None
        content = self.path.read_bytes()
        digest, content = content[:32], content[32:]
        if hashlib.sha256(content).digest() != digest:
            return self._ignore("it is damaged")
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        for key, value in self.identity.items():
            if saved["identity"].get(key) != value:
                return self._ignore(f"it is of another {key}")
        return saved["state"]

    def remove(self) -> None:
        """Delete the file, if there is one."""
        self.path.unlink(missing_ok=True)

    def _ignore(self, reason: str) -> None:
        print(f"{self.path}: not resumed from, {reason}; training anew", file=sys.stderr)
