"""The state's shapes by arithmetic are those of the model that is made."""

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.model.architecture import MATRICES, ModelConfig
from fairway.model.network import Model
from fairway.model.shapes import require_state, state_shapes
from fairway.stage import StageError
from support.configs import ROOT, read
from support.tiny_models import tiny_config

SIZES = {
    "vocabulary": 300, "width": 48, "mlp_width": 40, "rope_dims": 4, "rope_base": 1e4,
    "rope_train_length": 64, "rope_context": 64, "bigram_rows": 70, "bigram_width": 9,
    "value_embedding_width": 11, "logit_cap": 30.0,
}  # fmt: skip


@st.composite
def configs(draw) -> ModelConfig:
    shared, unique = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    loops = draw(st.integers(1, 3)) if shared else 0
    depth = shared * loops + unique
    if not depth:
        unique = depth = 1
    layers = draw(st.lists(st.integers(0, depth - 1), max_size=3))
    matrices = draw(st.lists(st.sampled_from(MATRICES), max_size=6))
    return ModelConfig(
        **SIZES,
        heads=4,
        kv_heads=draw(st.sampled_from((1, 2, 4))),
        shared_blocks=shared,
        loops=loops,
        unique_blocks=unique,
        value_embedding_layers=tuple(layers),
        lora_matrices=tuple(matrices),
        lora_rank=draw(st.integers(1, 5)),
    )


def made(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(found.shape) for name, found in Model(config).state_dict().items()}


@settings(max_examples=60, deadline=None)
@given(configs())
def test_shapes_and_their_order_are_the_models(config: ModelConfig) -> None:
    assert list(state_shapes(config).items()) == list(made(config).items())


@pytest.mark.parametrize("name", ["fineweb", None])
def test_shapes_of_the_shipped_configurations(name: str | None) -> None:
    found = read(name) if name else yaml.safe_load((ROOT / "config.yaml").read_text())
    for model in found["models"].values():
        config = ModelConfig.from_settings(model["architecture"], 1024)
        assert list(state_shapes(config).items()) == list(made(config).items())


def test_a_state_that_is_not_the_models_is_named() -> None:
    shapes = state_shapes(tiny_config())
    require_state(tiny_config(), shapes, "x")
    with pytest.raises(StageError, match=r"^x: smear_logit: missing; its model has shape \[32\]"):
        require_state(tiny_config(), {k: v for k, v in shapes.items() if k != "smear_logit"}, "x")
    with pytest.raises(StageError, match=r"^x: z: shape \[1\]; its model has no such tensor"):
        require_state(tiny_config(), shapes | {"z": (1,)}, "x")
    with pytest.raises(StageError, match=r"^x: smear_logit: shape \[33\]; its model has shape"):
        require_state(tiny_config(), shapes | {"smear_logit": (33,)}, "x")
