"""What the GPU benchmark runs: a configuration's models, a text, and its arithmetic."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fairway.artifact.forecast import forecast
from fairway.model.architecture import ModelConfig
from fairway.stage import StageError, require_file
from fairway.training.settings import TrainingSettings

Settings = dict[str, Any]
SYNTHETIC_TOKENS = 1 << 24
_LONGEST_RUN = 64  # of the synthetic text's chains


@dataclass(frozen=True)
class Workload:
    """One model of a configuration with the settings of its stages."""

    name: str
    config: ModelConfig
    training: TrainingSettings
    quantization: Settings
    bits_per_weight: float  # forecast
    scoring: Settings
    windows: dict[str, int]


def load_workloads(files: list[Path], device: str | None, compiled: bool) -> list[Workload]:
    """The models of a configuration, later files overriding earlier ones.

    device: replaces that of all stages if given; compiled: False turns torch.compile off.
    Training is by one process, without checkpoints. Raises StageError for a bad configuration.
    """
    merged: Settings = {}
    for file in files:
        merged = _merge(merged, yaml.safe_load(require_file(file).read_text()))
    return [
        _workload(name, model, merged, device, compiled)
        for name, model in merged["models"].items()
    ]


def _workload(
    name: str, model: Settings, merged: Settings, device: str | None, compiled: bool
) -> Workload:
    stages = {}
    for stage in ("training", "quantization", "scoring"):
        stages[stage] = {**model[stage], "device": device or model[stage]["device"]}
        if not compiled and "compile" in stages[stage]:
            stages[stage]["compile"] = False
    training = {**stages["training"], "world_size": 1, "checkpoint_every": 0, "warmup_steps": 0}
    training["kernels"] = training["kernels"] if training["device"] == "cuda" else []
    return Workload(
        name,
        ModelConfig.from_settings(model["architecture"], merged["corpus"]["vocabulary"]),
        TrainingSettings.from_settings(training),
        stages["quantization"],
        forecast(model, merged["corpus"]["vocabulary"]).bits_per_weight,
        stages["scoring"],
        merged["windows"],
    )


def _merge(base: Settings, over: Settings) -> Settings:
    both = {k: _merge(base[k], v) for k, v in over.items() if isinstance(v, dict) and k in base}
    return {**base, **over, **both}


def reduced(config: ModelConfig) -> ModelConfig:
    """A small model of the same kind and width of heads, for float64 on a CPU in a moment."""
    shared = config.shared_blocks > 0
    return dataclasses.replace(
        config,
        width=2 * config.head_width,
        heads=2,
        kv_heads=1,
        mlp_width=6 * config.head_width,
        bigram_rows=512,
        rope_context=min(256, config.rope_context),
        shared_blocks=1 if shared else 0,
        loops=2 if shared else 0,
        unique_blocks=1 if shared else 3,
        value_embedding_layers=(2,),
    )


def synthetic_tokens(count: int, vocabulary: int, seed: int) -> np.ndarray:
    """A text with something to learn, uint16 (count,), for a machine without a corpus.

    Half of the tokens are drawn with probabilities 1/rank, as words of a language roughly are;
    each of the others is a fixed function (a permutation) of the token before it.
    """
    generator = np.random.default_rng(seed)
    weights = 1 / np.arange(1, vocabulary + 1)
    drawn = generator.choice(vocabulary, size=count, p=weights / weights.sum())
    follows = generator.permutation(vocabulary)
    steps = [np.arange(vocabulary)]  # steps[k]: the token k places after a drawn one
    for _ in range(_LONGEST_RUN):
        steps.append(follows[steps[-1]])
    places = np.arange(count)
    is_drawn = generator.random(count) < 0.5
    is_drawn[0] = True
    last_drawn = np.maximum.accumulate(np.where(is_drawn, places, 0))
    distance = np.minimum(places - last_drawn, _LONGEST_RUN)
    return np.stack(steps)[distance, drawn[last_drawn]].astype(np.uint16)


def split_text(tokens: np.ndarray, held_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Training text and the last `held_out` tokens; StageError if less than half is left."""
    if len(tokens) < 2 * held_out:
        raise StageError(f"text: {len(tokens)} tokens; expected at least {2 * held_out}")
    return tokens[:-held_out], tokens[-held_out:]


def operations_per_token(config: ModelConfig, sequence: int) -> int:
    """Multiplications and additions of matrix products per token of a training step.

    Forward and backward, 6 for each weight of a matrix that a token meets, as often as it meets
    it; causal attention counted by the half that is not masked. Nothing for LoRA deviations,
    which are made once for a batch, and nothing for recomputation.
    """
    of_layer = sum(outputs * inputs for outputs, inputs in config.matrix_shapes.values())
    layers = len(config.virtual_layers)
    outside = config.width * (config.vocabulary + config.bigram_width)
    if config.value_embedding_layers:
        outside += config.kv_width * config.value_embedding_width
    attention = sequence * config.width  # two products, each half of 2 · sequence · width
    return 6 * (layers * of_layer + outside) + 3 * 2 * layers * attention
