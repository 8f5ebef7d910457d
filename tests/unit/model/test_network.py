"""The model against its description, its size at record scale, and its checked settings."""

import json

import pytest
import torch

from fairway.model.architecture import ModelConfig
from fairway.model.initialization import initialize
from fairway.model.layers import rotate, without_own_value
from fairway.model.network import Model, deviation_norms
from fairway.stage import StageError
from support.model_reference import reference_logits
from support.tiny_models import CONTEXT, VOCABULARY, random_tokens, tiny_config, tiny_model
from support.tiny_training import ARCHITECTURE

RECORD = {
    "width": 512,
    "heads": 8,
    "kv_heads": 4,
    "mlp_width": 1536,
    "rope_dims": 16,
    "rope_base": 10000.0,
    "rope_train_length": 1024,
    "rope_context": 2048,
    "bigram_rows": 3072,
    "bigram_width": 128,
    "value_embedding_width": 128,
    "value_embedding_layers": [9, 10],
    "logit_cap": 30.0,
}
SHARING = {
    "shared_blocks": 3,
    "loops": 3,
    "unique_blocks": 2,
    "lora_rank": 8,
    "lora_matrices": ["q", "k", "v", "o", "up", "down"],
    "gamma_init": -2.0,
    "gamma_penalty": 0.01,
}
INDEPENDENT = {"shared_blocks": 0, "loops": 0, "unique_blocks": 3, "lora_matrices": ()}


def tokens_like(time: int, batch: int = 1) -> torch.Tensor:
    return torch.from_numpy(random_tokens(batch * time).astype("int64")).view(batch, time)


def parameter_count(architecture: dict) -> int:
    with torch.device("meta"):
        model = Model(ModelConfig.from_settings(architecture, 1024))
    return sum(parameter.numel() for parameter in model.parameters())


def test_independent_layers_at_record_size_have_the_published_parameter_count() -> None:
    assert parameter_count({"layers": "independent", "blocks": 11, **RECORD}) == 27_124_848


def test_shared_layers_at_record_size_are_eleven_over_five_blocks() -> None:
    architecture = {"layers": "shared", **SHARING, **RECORD}
    config = ModelConfig.from_settings(architecture, 1024)
    assert config.virtual_layers == (0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4)
    lora_per_layer = 8 * (4 * 512 + 2 * (512 + 256) + 2 * (512 + 1536)) + 1
    fewer_blocks = 6 * (4 * 512 * 512 - 2 * 512 * 256 + 2 * 512 * 1536)
    assert parameter_count(architecture) == 27_124_848 - fewer_blocks + 9 * lora_per_layer


@pytest.mark.parametrize(
    "changes",
    [{}, {"rope_train_length": 6}, {"value_embedding_layers": ()}, INDEPENDENT],
    ids=["shared", "ntk", "no_value_embedding", "independent"],
)
def test_forward_is_the_described_model(changes: dict) -> None:
    if changes is INDEPENDENT:
        changes = {**changes, "value_embedding_layers": (0, 2)}
    model = tiny_model(3, **changes)
    tokens = tokens_like(9)
    expected = reference_logits(model, tokens[0].tolist())
    found = model.double()(tokens)[0]
    assert expected.abs().max() > 1  # not near 0, where anything agrees
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prefill", [0, 7], ids=["one_by_one", "after_a_prompt"])
def test_steps_with_a_cache_equal_the_full_forward(prefill: int) -> None:
    model = tiny_model(1)
    tokens = tokens_like(CONTEXT, batch=2)
    state = model.start_state(batch=2, length=CONTEXT)
    parts = [model.step(tokens[:, :prefill], state)] if prefill else []
    parts += [model.step(tokens[:, i : i + 1], state) for i in range(prefill, CONTEXT)]
    torch.testing.assert_close(torch.cat(parts, 1), model(tokens), atol=1e-5, rtol=0)


def test_a_started_state_takes_one_token_at_a_time() -> None:
    model = tiny_model()
    state = model.start_state(batch=1, length=8)
    model.step(tokens_like(2), state)
    with pytest.raises(ValueError, match="2 tokens at position 2"):
        model.step(tokens_like(2), state)


def test_config_as_json_and_state_dict_make_the_same_model() -> None:
    model = tiny_model(2)
    config = ModelConfig.from_dict(json.loads(json.dumps(model.config.to_dict())))
    assert config == model.config
    copy = Model(config)
    copy.load_state_dict(model.state_dict())
    tokens = tokens_like(CONTEXT)
    assert torch.equal(copy(tokens), model(tokens))


def test_deviations_start_at_zero_and_are_measured() -> None:
    model = initialize(Model(tiny_config()), torch.Generator().manual_seed(0))
    assert all(ratio == 0 for line in deviation_norms(model) for ratio in line["ratio"].values())
    with torch.no_grad():
        model.layers[2].deviations["q"].b.fill_(1.0)
    layer, weight = model.layers[2], model.blocks[0].q.weight
    gated = torch.sigmoid(layer.gamma_logit) * layer.deviations["q"].a @ layer.deviations["q"].b
    lines = deviation_norms(model)
    assert [line["layer"] for line in lines] == [0, 1, 2, 3]
    assert [line["block"] for line in lines] == [0, 1, 0, 1]
    assert lines[2]["ratio"]["q"] == pytest.approx((gated.norm() / weight.norm()).item())
    assert lines[2]["ratio"]["q"] > 0 and lines[2]["ratio"]["v"] == 0


def test_penalty_is_the_sum_of_gates() -> None:
    model = Model(tiny_config(gamma_init=0.0, gamma_penalty=0.01))
    assert model.penalty().item() == pytest.approx(0.01 * 4 * 0.5)
    assert Model(tiny_config(**INDEPENDENT, value_embedding_layers=())).penalty().item() == 0


def test_own_value_is_projected_out_of_every_head() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(2, 4, 5, 8, generator=generator)
    v = torch.randn(2, 2, 5, 8, generator=generator)
    out = without_own_value(y, v)
    inner = (out * v.repeat_interleave(2, dim=1)).sum(-1)
    torch.testing.assert_close(inner, torch.zeros_like(inner), atol=1e-5, rtol=0)


def test_a_value_of_zeros_takes_nothing_away() -> None:
    y = torch.randn(1, 2, 3, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    v = torch.zeros(1, 1, 3, 8, requires_grad=True)
    out = without_own_value(y, v)
    out.sum().backward()
    assert torch.equal(out, y) and torch.isfinite(v.grad).all()


def test_the_last_positions_alone_are_those_of_the_whole() -> None:
    """And the last layer's products behind the attention are for them only."""
    model, tokens = tiny_model(3), tokens_like(CONTEXT, batch=2)
    sizes: dict[str, set[int]] = {}
    for name, part in model.blocks[model.virtual_layers[-1]].named_children():
        part.register_forward_hook(
            lambda _, inputs, __, name=name: sizes.setdefault(name, set()).add(inputs[0].shape[1])
        )
    whole = model(tokens)
    sizes.clear()
    torch.testing.assert_close(model(tokens, last=3), whole[:, -3:], atol=2e-5, rtol=0)
    assert {name for name, found in sizes.items() if 3 in found} == {"o", "up", "down"}


def test_rotation_depends_on_distance_alone() -> None:
    model = tiny_model()
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))

    def score(i: int, j: int) -> float:
        turned = rotate(q, model.rotary(i, 1)) * rotate(k, model.rotary(j, 1))
        return turned.sum().item()

    assert score(7, 3) == pytest.approx(score(14, 10), abs=1e-5)
    assert score(7, 3) != pytest.approx(score(7, 4), abs=1e-3)


def test_autocast_gives_float32_logits_near_the_float32_ones() -> None:
    model = tiny_model(4)
    tokens = tokens_like(CONTEXT, batch=2)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(tokens)
    assert found.dtype == torch.float32
    relative = (found - model(tokens)).norm() / model(tokens).norm()
    assert 1e-4 < relative < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": "other"}, "architecture.layers: other; expected shared or independent"),
        ({"blocks": 3}, "architecture.blocks: unknown with layers: shared"),
        ({"heads": 3}, "architecture.heads: 3; expected a divisor of width 16"),
        ({"heads": 0}, "architecture.heads: 0; expected 1 to 65536"),
        ({"kv_heads": 3}, "architecture.kv_heads: 3; expected a divisor of 2"),
        ({"rope_dims": 10}, "architecture.rope_dims: 10; expected an even number up to"),
        (
            {"value_embedding_layers": [3]},
            r"value_embedding_layers: \[3\]; expected layers 0 to 2",
        ),
        ({"lora_matrices": ["w"]}, r"lora_matrices: \['w'\]; expected some of q, k"),
        ({"lora_rank": 0}, "architecture.lora_rank: 0; expected 1 to width 16"),
        ({"loops": 0}, "architecture.loops: 0; expected at least 1"),
        ({"logit_cap": 0.0}, "architecture.logit_cap: 0.0; expected 1e-09 to"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(change: dict, message: str) -> None:
    with pytest.raises(StageError, match=message):
        ModelConfig.from_settings({**ARCHITECTURE, **change}, VOCABULARY)


def test_a_missing_key_is_named() -> None:
    settings = {key: value for key, value in ARCHITECTURE.items() if key != "width"}
    with pytest.raises(StageError, match=r"architecture\.width: missing with layers: shared"):
        ModelConfig.from_settings(settings, VOCABULARY)


def test_whole_numbers_do_for_real_ones():
    whole, real = (tiny_model(gamma_init=value, rope_base=10_000) for value in (-1, -1.0))
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), real.parameters(), strict=True)
    )
