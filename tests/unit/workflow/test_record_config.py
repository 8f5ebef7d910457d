"""config/fineweb.yaml against the numbers of the record, written out here a second time.

They are those of parameter-golf PR #796, except that training text calibrates the quantisation.
"""

from typing import Any

import pytest
import yaml

from fairway.model.architecture import ModelConfig
from fairway.training.settings import MICRO_BATCHES, TrainingSettings
from fairway.workflow.config import resolve_config
from fairway.workflow.layers import put_together
from support.configs import ROOT, SCHEMA, read

SIZES = {
    "width": 512,
    "heads": 8,
    "kv_heads": 4,
    "mlp_width": 1536,
    "rope_dims": 16,
    "rope_base": 10_000.0,
    "rope_train_length": 1024,
    "rope_context": 2048,
    "bigram_rows": 3072,
    "bigram_width": 128,
    "value_embedding_width": 128,
    "value_embedding_layers": [9, 10],
    "logit_cap": 30.0,
}
SHARING = {
    "layers": "shared",
    "shared_blocks": 3,
    "loops": 3,
    "unique_blocks": 2,
    "lora_rank": 8,
    "lora_matrices": ["q", "k", "v", "o", "up", "down"],
    "gamma_init": -2.0,
    "gamma_penalty": 0.01,
}
ARCHITECTURES = {
    "ebls": SHARING | SIZES,
    "independent": {"layers": "independent", "blocks": 11} | SIZES,
}
TRAINING = {
    "world_size": 8,
    "precision": "bfloat16",
    "batch_tokens": 786_432,
    "sequence": 2048,
    "max_seconds": 540,  # 560 there; what follows would leave no margin (docs/scaling.md)
    "warmup_steps": 20,
    "warmdown_steps": 4000,
    "muon_lr": 0.025,
    "muon_momentum": [0.92, 0.99],
    "muon_momentum_steps": 1500,
    "embedding_lr": 0.035,
    "scalar_lr": 0.025,
    "weight_decay": 0.04,
    "adam_betas": [0.9, 0.95],
    "adam_epsilon": 1e-8,
    "gradient_clip": 0.3,
    "ema_decay": 0.997,
    "swa_every": 50,
    "swa_below": 0.2,
    "qat_below": 0.15,
    "qat_sharpness": [1.0, 16.0],
}
QUANTIZATION = {
    "damping": 0.01,
    "block": 128,
    "clip_percentiles": [0.999, 0.9995, 0.9999, 0.99999, 1.0],
    "fp16_below": 65_536,
    "fp16_mantissa_bits": 10,
    "packed_bytes": None,
    "bits_per_weight": None,
    "clip_sigmas": None,
}
PACKING = {"compressor": "lzma", "prune_fraction": 0.02, "room_bytes": 80_000}
RECORD = {
    "seeds": [1337, 2024, 2025],
    "ranks": 8,
    "windows": {"length": 2048, "stride": 64},
    "limits": {"artifact_bytes": 16_000_000, "train_seconds": 600, "eval_seconds": 600},
}
TABLES = {"kind": "hashed", "buckets": 4_194_304, "min_count": 2}  # per table, two an order
CACHES = {
    "hashed7_empty": TABLES | {"max_order": 7, "prefill": False},
    "hashed7": TABLES | {"max_order": 7, "prefill": True},
    "hashed15": TABLES | {"max_order": 15, "prefill": True},
    "exact15": {"kind": "exact", "max_order": 15},  # what the record's would be with exact counts
    "exact15_orders": {"kind": "exact", "max_order": 15},
}
CURVE = {"alpha_low": 0.05, "alpha_span": 0.55, "slope": 2.0}
GATES = {
    "uniform": CURVE | {"kind": "entropy", "threshold": 4.0},
    "adaptive": CURVE
    | {"kind": "order_adaptive", "threshold_low_order": 4.5, "threshold_high_order": 2.5},
}
LADDER = [  # the published rows in their order: cache and gate
    ("none", "none"),
    ("hashed7_empty", "uniform"),
    ("hashed7", "uniform"),
    ("hashed15", "uniform"),
    ("hashed15", "adaptive"),
]


def over_the_default(*names: str) -> dict[str, Any]:
    """As a run sees them: on top of config.yaml, defaults filled in."""
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    return resolve_config(put_together([base, *map(read, names)]), SCHEMA)


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return over_the_default("fineweb")


def part(section: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """The section's entries that `like` has too."""
    return {key: section[key] for key in like}


@pytest.mark.parametrize("name", ["ebls", "independent"])
def test_both_models_have_the_records_architecture_and_training(
    record: dict[str, Any], name: str
) -> None:
    model = record["models"][name]
    expected = ARCHITECTURES[name]
    assert part(model["architecture"], expected) == expected
    assert part(model["training"], TRAINING) == TRAINING
    config = ModelConfig.from_settings(part(model["architecture"], expected), 1024)
    assert len(config.virtual_layers) == 11
    settings = TrainingSettings.from_settings(model["training"])
    assert settings.batch_tokens == MICRO_BATCHES * 48 * settings.sequence
    assert settings.steps > 6175, "the clock ends the training, not the count of steps"


@pytest.mark.parametrize("name", ["ebls", "independent"])
def test_both_models_can_be_quantised_and_packed_as_the_record(name: str) -> None:
    model = over_the_default("fineweb", "published_packing")["models"][name]
    assert part(model["quantization"], QUANTIZATION) == QUANTIZATION
    assert model["packing"] == PACKING
    assert model["quantization"]["calibration_tokens"] % 2048 == 0


@pytest.mark.parametrize("name", ["ebls", "independent"])
def test_both_models_fill_the_bytes_that_code_leaves(record: dict[str, Any], name: str) -> None:
    model = record["models"][name]
    left = record["limits"]["artifact_bytes"] - model["packing"]["room_bytes"]
    assert 0.99 * left < model["quantization"]["packed_bytes"] < left
    assert model["packing"]["compressor"] == "ans"


def test_calibration_is_given_training_text_alone(record: dict[str, Any]) -> None:
    """The manifest names the training shards; the validation text is not an input of the rule."""
    corpus = record["corpus"]
    assert all("fineweb_train_" in pattern for pattern in corpus["train_shards"])
    assert all("fineweb_val_" in pattern for pattern in corpus["val_shards"])
    rule = (ROOT / "rules" / "models.smk").read_text().split("rule quantize_model:")[1]
    inputs = rule.split("output:")[0]
    assert "encode_corpus.output.manifest" in inputs and "encode_corpus.output.val" not in inputs


def test_seeds_ranks_windows_and_limits_are_the_records(record: dict[str, Any]) -> None:
    assert part(record, RECORD) == RECORD
    assert record["corpus"]["vocabulary"] == 1024
    assert record["corpus"]["minimum_documents"] == 50_000


@pytest.mark.parametrize("name", CACHES)
def test_caches_are_the_records(record: dict[str, Any], name: str) -> None:
    assert part(record["caches"][name], CACHES[name]) == CACHES[name]


@pytest.mark.parametrize("name", GATES)
def test_gates_are_the_records(record: dict[str, Any], name: str) -> None:
    assert record["gates"][name] == GATES[name]


@pytest.mark.parametrize("model", ["ebls", "independent"])
def test_rows_climb_the_published_ladder(record: dict[str, Any], model: str) -> None:
    rows = [row for row in record["rows"] if row["model"] == model]
    assert [(row["cache"], row["gate"]) for row in rows[: len(LADDER)]] == LADDER
