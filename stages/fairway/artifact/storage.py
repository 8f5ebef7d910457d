"""How a packed model's tensors are represented: integers with a scale per row, fp16 or fp32."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from fairway.stage import StageError

INT6, INT8, FLOAT16, FLOAT32 = "int6", "int8", "float16", "float32"
SCALE = "scale"  # of rows, kept apart from their integers
DTYPES = {INT6: "|i1", INT8: "|i1", SCALE: "<f2", FLOAT16: "<f2", FLOAT32: "<f4"}  # by section
Kind = Literal["int6", "int8", "float16", "float32"]
INT6_LIMIT, INT8_LIMIT = 31, 127  # magnitudes used; symmetric, so -32 and -128 do not occur


@dataclass(frozen=True)
class RowIntegers:
    """integers int8 (rows, columns) times scale float16 (rows,)."""

    integers: Tensor
    scale: Tensor

    def dequantise(self) -> Tensor:
        """The float32 matrix that these stand for."""
        return self.integers.float() * self.scale.float()[:, None]


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
