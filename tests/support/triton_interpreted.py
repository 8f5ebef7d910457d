"""The Triton kernels beside the definitions, in Triton's interpreter on the CPU.

    TRITON_INTERPRET=1 python tests/support/triton_interpreted.py

Prints differences, relative, by name, as JSON. A program of its own, since Triton reads the
variable when it is first imported, and torch imports it.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "stages"), str(ROOT / "tests")]

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from fairway.model.layers import Operations  # noqa: E402
from fairway.training.loss import next_token_loss  # noqa: E402
from fairway.training.operations import chosen_operations, difference, kernels  # noqa: E402
from fairway.training.settings import KERNELS  # noqa: E402
from support.tiny_models import random_tokens, tiny_config, tiny_model  # noqa: E402

CPU = torch.device("cpu")
CONFIGS = {
    "even": tiny_config(),
    "odd": tiny_config(width=96, kv_heads=1, rope_dims=6, mlp_width=200),  # heads of 24
    "all turn": tiny_config(heads=2, kv_heads=2, rope_dims=16),
}


def single() -> dict[str, float]:
    """Of each kernel's result and gradients."""
    return {
        f"{name}, {shapes}, {dtype}": difference(name, kernel, config, CPU, dtype, False)
        for name, kernel in kernels().items()
        for shapes, config in CONFIGS.items()
        for dtype in (torch.float32, torch.bfloat16)
    }


def outcome(operations: Operations) -> Tensor:
    """Loss and gradients of a whole model."""
    model = tiny_model().requires_grad_()
    model.use(operations)
    tokens = torch.from_numpy(random_tokens(2 * 13).astype("int64")).view(2, 13)
    loss, _ = next_token_loss(model, tokens[:, :-1], tokens[:, 1:])
    loss.backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat([loss.detach().view(1), *gradients])


def of_a_model() -> float:
    """Of a model's loss and gradients, with all kernels or none."""
    used, notes = chosen_operations(KERNELS, CONFIGS["even"], CPU, torch.float32)
    assert not notes and all(
        getattr(used, name) != getattr(Operations(), name) for name in KERNELS
    )
    expected = outcome(Operations())
    return float((outcome(used) - expected).norm() / expected.norm())


def of_zeros() -> float:
    """Of what a value of zeros takes away, and of its gradient: nothing, and finite."""
    y, v = torch.randn(1, 2, 3, 8), torch.zeros(1, 1, 3, 8, requires_grad=True)
    found = kernels()["without_own_value"](y, v)
    (gradient,) = torch.autograd.grad(found.sum(), v)
    assert torch.isfinite(gradient).all()
    return float((found - y).norm())


if __name__ == "__main__":
    print(json.dumps({**single(), "a model": of_a_model(), "zeros": of_zeros()}))
