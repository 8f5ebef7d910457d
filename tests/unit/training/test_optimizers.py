"""Which optimiser moves which parameter, with which constants."""

from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch

from fairway.model.initialization import initialize
from fairway.model.network import Model
from fairway.training.muon import Muon
from fairway.training.optimizers import Optimizers, parameter_kinds
from fairway.training.processes import Processes
from fairway.training.settings import TrainingSettings
from support.tiny_models import tiny_config
from support.tiny_training import TRAINING

ALONE = Processes(0, 1, torch.device("cpu"), parent=0)
SETTINGS = replace(  # no two alike, and none a default of torch's
    TrainingSettings.from_settings(TRAINING),
    **{"muon_lr": 0.02, "embedding_lr": 0.035, "scalar_lr": 0.025, "weight_decay": 0.04},
    **{"adam_betas": (0.8, 0.95), "adam_epsilon": 1e-3},
)
EMBEDDINGS = {"token_embedding", "bigram.embedding", "value_embedding.embedding"}
PROJECTIONS = {"bigram.projection", "value_embedding.projection"}
SCALARS = {"bigram.scale", "value_embedding.scale", "smear_logit", "skip_weights"}
LAYER_SCALARS = ("stream_mix", "input_mix", "attention_scale", "mlp_scale", "query_gain")
BLOCK = ("q", "k", "v", "o", "up", "down")


class Layout(NamedTuple):
    """Changes to the tiny model's configuration, and what they make of it."""

    changes: dict[str, Any]
    blocks: int
    deviating: tuple[str, ...]  # matrices
    gated: int  # layers


NONE_SHARED = {"shared_blocks": 0, "loops": 0, "unique_blocks": 5, "lora_matrices": ()}
LAYERS = 5
LAYOUTS = {
    "shared": Layout({}, 3, ("q", "v", "down"), 4),
    "independent": Layout(NONE_SHARED, 5, (), 0),
}


@pytest.fixture(params=LAYOUTS)
def layout(request) -> str:
    return request.param


def new_model(layout: str) -> Model:
    return initialize(
        Model(tiny_config(**LAYOUTS[layout].changes)), torch.Generator().manual_seed(0)
    )


def expected_kinds(layout: str) -> dict[str, set[str]]:
    """Names of the parameters of each kind, written out."""
    _, blocks, deviating, gated = LAYOUTS[layout]
    deviations = {
        f"layers.{i}.deviations.{name}.{factor}"
        for i in range(gated)
        for name in deviating
        for factor in "ab"
    }
    matrices = {f"blocks.{i}.{name}.weight" for i in range(blocks) for name in BLOCK}
    scalars = {f"layers.{i}.{name}" for i in range(LAYERS) for name in LAYER_SCALARS}
    scalars |= {f"layers.{i}.value_mix" for i in range(1, LAYERS)}
    return {
        "matrices": matrices | deviations | PROJECTIONS,
        "embeddings": EMBEDDINGS,
        "scalars": scalars | SCALARS | {"layers.4.value_embedding_scale"},
        "gates": {f"layers.{i}.gamma_logit" for i in range(gated)},
    }


def names_of(model: Model, parameters: list[torch.Tensor]) -> set[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)] for parameter in parameters}


def test_every_parameter_is_of_its_kind(layout: str) -> None:
    model = new_model(layout)
    found = {kind: names_of(model, each) for kind, each in parameter_kinds(model).items()}
    assert found == expected_kinds(layout)


def test_muon_takes_the_matrices_and_adam_the_rest_with_the_settings_constants(
    layout: str,
) -> None:
    model, kinds = new_model(layout), expected_kinds(layout)
    optimizers = Optimizers(model, SETTINGS, ALONE)
    assert names_of(model, optimizers.muon.matrices) == kinds["matrices"]
    assert optimizers.muon.weight_decay == 0.04
    embeddings, scalars, *gates = optimizers.adam.param_groups
    expected = [(embeddings, "embeddings", 0.035, 0.04), (scalars, "scalars", 0.025, 0.04)]
    expected += [(group, "gates", 0.025, 0.0) for group in gates]
    assert len(gates) == (1 if kinds["gates"] else 0)
    for group, kind, rate, decay in expected:
        assert names_of(model, group["params"]) == kinds[kind]
        assert (group["lr"], group["weight_decay"]) == (rate, decay)
        assert (group["betas"], group["eps"]) == ((0.8, 0.95), 1e-3)


def test_two_steps_move_every_parameter_as_the_constants_say(layout: str) -> None:
    """Against AdamW written out in float64, and Muon on its own."""
    model, scales = new_model(layout), (1.0, 0.5)
    optimizers = Optimizers(model, SETTINGS, ALONE)
    rates = {"embeddings": (0.035, 0.04), "scalars": (0.025, 0.04), "gates": (0.025, 0.0)}
    kinds = parameter_kinds(model)
    twins = [matrix.detach().clone() for matrix in kinds["matrices"]]
    muon = Muon(twins, 0.04)
    adam = {
        parameter: (parameter.detach().double(), rate, decay, [0.0, 0.0])
        for kind, (rate, decay) in rates.items()
        for parameter in kinds[kind]
    }
    generator = torch.Generator().manual_seed(1)
    for step, scale in enumerate(scales):
        for parameter in model.parameters():
            parameter.grad = 0.01 * torch.randn(parameter.shape, generator=generator)
        for twin, matrix in zip(twins, kinds["matrices"], strict=True):
            twin.grad = matrix.grad
        optimizers.step(step, scale)
        muon.step(0.02 * scale, 0.85 + step * (0.95 - 0.85) / 6)
        for parameter, (value, rate, decay, moments) in adam.items():
            gradient = parameter.grad.double()
            moments[0] = 0.8 * moments[0] + 0.2 * gradient
            moments[1] = 0.95 * moments[1] + 0.05 * gradient**2
            mean = moments[0] / (1 - 0.8 ** (step + 1))
            root = (moments[1] / (1 - 0.95 ** (step + 1))) ** 0.5
            value *= 1 - rate * scale * decay
            value -= rate * scale * mean / (root + 1e-3)
    for twin, matrix in zip(twins, kinds["matrices"], strict=True):
        torch.testing.assert_close(matrix.detach(), twin, atol=1e-7, rtol=1e-6)
    for parameter, (value, *_) in adam.items():
        torch.testing.assert_close(parameter.detach().double(), value, atol=1e-6, rtol=1e-5)
