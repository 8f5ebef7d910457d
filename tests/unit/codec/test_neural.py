"""The network by a recorded program: torch's logits for every choice a model has, and its bits."""

import numpy as np
import pytest
import torch

from fairway.codec.compiling import Compiler
from fairway.codec.neural import NeuralSteps, Stepper
from fairway.codec.recording import record
from fairway.model.network import Model, unshared
from fairway.stage import StageError
from support.tiny_models import CONTEXT, random_tokens, tiny_model

UNIQUE = {"shared_blocks": 0, "loops": 0, "lora_matrices": (), "value_embedding_layers": ()}
CHOICES = {
    "shared": {},
    "all_matrices_deviate": {"lora_matrices": ("q", "k", "v", "o", "up", "down")},
    "none_deviates": {"lora_matrices": ()},
    "shared_alone": {"unique_blocks": 0, "value_embedding_layers": (0, 3)},
    "independent": UNIQUE | {"unique_blocks": 4},
    "one_layer": UNIQUE | {"unique_blocks": 1, "value_embedding_layers": (0,)},
    "one_value_head": {"kv_heads": 1},
    "no_shared_heads": {"kv_heads": 4},
    "narrow_heads": {"width": 24, "value_embedding_width": 5},
    "all_rotates": {"rope_dims": 8},
    "scaled_rotation": {"rope_train_length": 6},
    "low_cap": {"logit_cap": 2.0},
}
TOLERANCE = 3e-5  # of logits up to 30; float32 sums in another order


def by_torch(model: Model, tokens: list[int]) -> np.ndarray:
    """Logits (tokens, vocabulary) by the forward pass that scoring has."""
    with torch.inference_mode():
        return model(torch.tensor([tokens]))[0].numpy()


@pytest.mark.parametrize("changes", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("first", [1, 5], ids=["one_by_one", "after_a_beginning"])
def test_steps_are_the_networks(changes: dict, first: int) -> None:
    model = tiny_model(3, **changes)
    tokens = random_tokens(CONTEXT).tolist()
    stepper = Stepper(model, CONTEXT)
    stepper.start(tokens[:9])  # another window was here before
    found = [stepper.start(tokens[:first]).copy()]
    found += [stepper.step(token).copy() for token in tokens[first:]]
    expected = by_torch(model, tokens)[first - 1 :]
    assert np.ptp(expected) > 1  # not near 0, where anything agrees
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("changes", CHOICES.values(), ids=CHOICES)
def test_independent_blocks_are_the_same_network(changes: dict) -> None:
    model, tokens = tiny_model(3, **changes), random_tokens(CONTEXT).tolist()
    np.testing.assert_array_equal(by_torch(unshared(model), tokens), by_torch(model, tokens))


@pytest.mark.parametrize("changes", CHOICES.values(), ids=CHOICES)
def test_two_walks_have_the_same_bits(changes: dict) -> None:
    tokens = random_tokens(3 * CONTEXT, 1).tolist()
    walks = [NeuralSteps(tiny_model(3, **changes), CONTEXT - 1, 7) for _ in range(2)]
    for token in tokens:
        for walk in walks:
            walk.push(token)
        first, second = (walk.distribution() for walk in walks)
        assert first.tobytes() == second.tobytes()
        assert abs(first.sum() - 1) < 1e-12


def test_windows_are_those_of_scoring() -> None:
    model, length, stride = tiny_model(3), 16, 6
    tokens = random_tokens(50, 2).tolist()
    steps = NeuralSteps(model, length, stride)
    for target in range(1, len(tokens)):
        steps.push(tokens[target - 1])
        start = max(0, -(-(target - length) // stride)) * stride
        logits = by_torch(model, tokens[start:target])[-1].astype(np.float64)
        powers = np.exp(logits - logits.max())
        np.testing.assert_allclose(steps.distribution(), powers / powers.sum(), rtol=1e-4)


def test_skipped_questions_change_nothing() -> None:
    asked, silent = (NeuralSteps(tiny_model(3), CONTEXT, 8) for _ in range(2))
    for token in random_tokens(20).tolist():
        asked.push(token)
        silent.push(token)
        last = asked.distribution()
    np.testing.assert_allclose(silent.distribution(), last, atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.erf(x),
        lambda x: x.sum(0, keepdim=True),
        lambda x: x @ x.T,
        lambda x: x**3,
        lambda x: torch.add(x, x, alpha=2),
    ],
    ids=["unknown", "first_axis", "changing_matrix", "cube", "scaled_sum"],
)
def test_what_has_no_instruction_is_named(function) -> None:
    x = torch.ones(1, 4)
    recording, _ = record(lambda _: function(x), [x])
    with pytest.raises(StageError, match=r"erf|sum over|mm: expected|pow|add"):
        Compiler(recording, 1)
