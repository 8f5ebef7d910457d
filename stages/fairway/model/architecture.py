"""The sizes and choices that make a model, checked when made; no torch."""

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

from fairway.files.records import Within, build, check_fields
from fairway.stage import StageError

MOST_LAYERS = 128  # virtual ones
MATRICES = ("q", "k", "v", "o", "up", "down")
KIND_KEYS = {  # by `layers`: keys that the other kind does not have
    "shared": frozenset(
        {"shared_blocks", "loops", "unique_blocks"}
        | {"lora_rank", "lora_matrices", "gamma_init", "gamma_penalty"}
    ),
    "independent": frozenset({"blocks"}),
}
_LARGEST, _SMALLEST = 1 << 16, 1e-9
_Size = Annotated[int, Within(1, _LARGEST)]
_Length = Annotated[int, Within(1, (1 << 31) - 1)]
_Layers = Annotated[int, Within(0, MOST_LAYERS)]


@dataclass(frozen=True)
class ModelConfig:
    """Everything a forward pass needs beside the weights.

    Virtual layers 0 … depth−1: the shared blocks, in order, `loops` times, each time with
    low-rank deviations of its own; then the unique blocks. `independent` layers are unique
    blocks alone. Raises StageError for sizes that do not fit together.
    """

    vocabulary: Annotated[int, Within(1, 1 << 16)]
    width: _Size
    heads: _Size
    kv_heads: _Size
    mlp_width: _Size
    rope_dims: Annotated[int, Within(4, _LARGEST)]  # leading dimensions of each head that rotate
    rope_base: Annotated[float, Within(_SMALLEST, 1e12)]
    rope_train_length: _Length  # positions that rope_base is meant for
    rope_context: _Length  # positions the model is used with; NTK-scaled if beyond the former
    bigram_rows: Annotated[int, Within(2, 1 << 17)]
    bigram_width: _Size
    value_embedding_width: _Size
    value_embedding_layers: Annotated[tuple[int, ...], Within(0, MOST_LAYERS)]  # virtual ones
    logit_cap: Annotated[float, Within(_SMALLEST, 1e12)]
    unique_blocks: _Layers
    shared_blocks: _Layers = 0
    loops: _Layers = 0
    lora_rank: Annotated[int, Within(0, _LARGEST)] = 0
    lora_matrices: Annotated[tuple[str, ...], Within(0, len(MATRICES))] = ()
    gamma_init: Annotated[float, Within(-1e9, 1e9)] = 0.0  # logit of the shrinkage gate
    gamma_penalty: Annotated[float, Within(-1e9, 1e9)] = 0.0  # times all gates, added to the loss

    @classmethod
    def from_settings(cls, architecture: dict[str, Any], vocabulary: int) -> "ModelConfig":
        """From a model's `architecture` section. `layers: shared` takes shared_blocks, loops,
        unique_blocks and the LoRA and gamma keys; `layers: independent` takes blocks instead.

        Raises StageError naming the first key that is missing, unknown or does not fit.
        """
        settings = dict(architecture)
        kind = settings.pop("layers", None)
        if kind not in tuple(KIND_KEYS):
            raise StageError(f"architecture.layers: {kind}; expected shared or independent")
        names = {field.name for field in fields(cls)} - {"vocabulary"}
        expected = names - KIND_KEYS["shared"] | KIND_KEYS[kind]
        for key in sorted(expected ^ settings.keys()):
            found = "unknown" if key in settings else "missing"
            raise StageError(f"architecture.{key}: {found} with layers: {kind}")
        if kind == "independent":
            settings["unique_blocks"] = settings.pop("blocks")
        return cls.from_dict({**settings, "vocabulary": vocabulary})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelConfig":
        """The inverse of to_dict; raises StageError naming the first key that does not fit."""
        return build(cls, values, "architecture")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @property
    def virtual_layers(self) -> tuple[int, ...]:
        """For every virtual layer, the index of the block it runs."""
        unique = range(self.shared_blocks, self.blocks)
        return (*range(self.shared_blocks),) * self.loops + (*unique,)

    @property
    def blocks(self) -> int:
        """Number of stored blocks."""
        return self.shared_blocks + self.unique_blocks

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_width

    @property
    def kept_per_token(self) -> int:
        """About how many values a forward keeps per token for its backward (within a tenth)."""
        of_layer = 14 * self.width + 3 * self.mlp_width
        return len(self.virtual_layers) * of_layer + 3 * self.vocabulary

    @property
    def matrix_shapes(self) -> dict[str, tuple[int, int]]:
        """(outputs, inputs) of a block's matrices, by name."""
        width, kv_width, mlp_width = self.width, self.kv_width, self.mlp_width
        attention = (width, width), (kv_width, width), (kv_width, width), (width, width)
        return dict(
            zip(MATRICES, (*attention, (mlp_width, width), (width, mlp_width)), strict=True)
        )

    def __post_init__(self) -> None:
        check_fields(self, "architecture")
        depth = self.shared_blocks * self.loops + self.unique_blocks
        bad_layers = [i for i in self.value_embedding_layers if not 0 <= i < depth]
        bad_matrices = [name for name in self.lora_matrices if name not in MATRICES]
        rules = [
            ("heads", self.heads, self.width % self.heads, f"a divisor of width {self.width}"),
            ("kv_heads", self.kv_heads, self.heads % self.kv_heads, f"a divisor of {self.heads}"),
            (
                "rope_dims",
                self.rope_dims,
                self.rope_dims % 2 or self.rope_dims > self.head_width,
                f"an even number up to the head's {self.head_width} dimensions",
            ),
            ("unique_blocks", 0, depth == 0, "at least one layer in all"),
            ("loops", self.loops, depth > MOST_LAYERS, f"at most {MOST_LAYERS} layers in all"),
            ("loops", self.loops, self.shared_blocks and not self.loops, "at least 1"),
            ("value_embedding_layers", bad_layers, bad_layers, f"layers 0 to {depth - 1}"),
            ("lora_matrices", bad_matrices, bad_matrices, f"some of {', '.join(MATRICES)}"),
            (
                "lora_rank",
                self.lora_rank,
                bool(self.lora_matrices) and not 0 < self.lora_rank <= self.width,
                f"1 to width {self.width} with lora_matrices",
            ),
        ]
        for key, found, wrong, expected in rules:
            if wrong:
                raise StageError(f"architecture.{key}: {found}; expected {expected}")


@dataclass(frozen=True)
class ModelSizes:
    """parameters: trained values; the rest in bytes, of the files' tensors.

    checkpoint: float32 weights; quantized: integers, a byte each, with their scales and what
    packing needs beside them.
    """

    parameters: int
    checkpoint: int
    quantized: int
