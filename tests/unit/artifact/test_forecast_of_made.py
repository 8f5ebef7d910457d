"""Artifacts as the stages make them from a configuration, beside what it said they would be."""

from pathlib import Path
from typing import Any

import pytest

from fairway.model.architecture import ModelConfig
from fairway.workflow.config import resolve_config
from fairway.workflow.layers import put_together
from fairway.workflow.specs import Specs
from support.configs import SCHEMA, read_default
from support.model_stages import Files
from support.tiny_models import VOCABULARY, random_model

# As small as a model can be of which 2 % are not the bytes of its index and of its small tensors.
ARCHITECTURE = {
    **{"width": 64, "mlp_width": 192, "rope_dims": 8, "rope_context": 24},
    **{"bigram_rows": 1024, "bigram_width": 32, "value_embedding_width": 32},
}
CALIBRATION = {"calibration_tokens": 600, "batch_sequences": 4, "fp16_below": 4096}


def config_with(**quantization: object) -> dict[str, Any]:
    """The default's, of that size."""
    quantization = CALIBRATION | {"bits_per_weight": None} | quantization
    training = {"sequence": 24, "batch_tokens": 192}
    model = {"architecture": ARCHITECTURE, "training": training, "quantization": quantization}
    layers = [
        read_default(),
        {"corpus": {"vocabulary": VOCABULARY}, "models": {"ebls": model}},
        {"windows": {"length": 24, "stride": 7}},
    ]
    return resolve_config(put_together(layers), SCHEMA)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Files:
    """A corpus and a checkpoint of the configuration's model, its weights drawn."""
    files = Files(tmp_path_factory.mktemp("made"))
    files.write_corpus()
    architecture = config_with(bits_per_weight=4.0)["models"]["ebls"]["architecture"]
    files.write_checkpoint(random_model(ModelConfig.from_settings(architecture, VOCABULARY)))
    return files


@pytest.mark.parametrize("steps", [{"bits_per_weight": 4.0}, {"packed_bytes": 60_000}], ids=str)
def test_what_a_search_makes_was_forecast_within_two_percent(trained, steps) -> None:
    """From the configuration to the ledger, which has both."""
    specs = Specs(config_with(**steps), Path("specs"))
    trained.quantize(**specs.quantize_model("ebls"))
    ledger = trained.pack(**specs.pack_artifact("ebls"))
    forecast = ledger["forecast_bytes"]
    assert forecast["low"] < ledger["packed_bytes"] <= forecast["high"]
    assert forecast["expected"] == pytest.approx(ledger["packed_bytes"], rel=0.02)
