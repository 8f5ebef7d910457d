"""How a packed model's tensors are represented: integers with a scale per row, fp16 or fp32."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fairway.stage import StageError


@dataclass(frozen=True)
class RowIntegers:
    """integers int8 (rows, columns) times scale float16 (rows,), and times columns float16
    (columns,) if there are any."""

    integers: Tensor
    scale: Tensor
    columns: Tensor | None = None

    def dequantise(self) -> Tensor:
        """The float32 matrix that these stand for."""
        values = self.integers.float()
        values *= self.scale.float()[:, None]
        if self.columns is not None:
            values *= self.columns.float()
        return values

    def scales(self) -> list[Tensor]:
        """The scales of the rows, and those of the columns if there are any."""
        return [self.scale] if self.columns is None else [self.scale, self.columns]


@dataclass(frozen=True)
class StoredModel:
    """Everything that goes into an artifact, on the CPU.

    config: of the model, plain values; kinds: of every tensor, by its name in the model's state;
    tensors: RowIntegers for int6 and int8, otherwise a Tensor of the kind's type.
    """

    config: dict[str, Any]
    tokenizer_sha256: str
    kinds: dict[str, str]
    tensors: dict[str, RowIntegers | Tensor]

    def state(self) -> dict[str, Tensor]:
        """The model's state, float32, as scoring uses it."""
        return {
            name: tensor.dequantise() if isinstance(tensor, RowIntegers) else tensor.float()
            for name, tensor in self.tensors.items()
        }

    def require_corpus(self, tokenizer_sha256: str, vocabulary: int, path: Path) -> None:
        """Raise StageError, naming the model's file, unless the corpus is of its tokenizer."""
        for key, found, expected in (
            ("tokenizer SHA-256", self.tokenizer_sha256, tokenizer_sha256),
            ("vocabulary", self.config["vocabulary"], vocabulary),
        ):
            if found != expected:
                raise StageError(f"{path}: {key} {found}; the corpus has {expected}")
