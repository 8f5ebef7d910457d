"""Which of a layer's operations are Triton kernels: those asked for that pass a check at start."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from fairway.model.architecture import ModelConfig
from fairway.model.layers import EPSILON, SMALLEST_SQUARE, Operations

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 1e-2}  # a rounding to bfloat16 is 2e-3
_BATCH, _TIME = 2, 40  # of the check

Operation = Callable[..., Tensor]


def chosen_operations(
    names: tuple[str, ...],
    config: ModelConfig,
    device: torch.device,
    dtype: torch.dtype,
    compiled: bool = False,
) -> tuple[Operations, list[str]]:
    """The definitions, with kernels in the place of those named that agree with them.

    dtype: of activations; compiled: check what torch.compile makes of the kernel. One that fails,
    in whatever way, is left out, and a line is returned that says why.
    """
    found, notes = {}, []
    for name in names:
        try:
            kernel = kernels()[name]
            off = difference(name, kernel, config, device, dtype, compiled)
            wrong = None if off <= TOLERANCES[dtype] else f"{off:.2g} from its definition"
        except Exception as error:  # no Triton, or one that does not take this device or kernel
            lines = str(error).strip().splitlines() or [""]
            wrong = f"{type(error).__name__}: {lines[0][:150]}"
        if wrong is None:
            found[name] = kernel
        else:
            notes.append(f"kernel {name} is off: {wrong} (allowed: {TOLERANCES[dtype]:g})")
    return dataclasses.replace(Operations(), **found), notes


def kernels() -> dict[str, Operation]:
    """The kernels by the names of what they take the place of. ImportError without Triton."""
    from fairway.training import triton_kernels as triton

    def leaky_square(x: Tensor) -> Tensor:
        return triton.leaky_square(x.contiguous())

    def turned(x: Tensor, gain: Tensor | None, rotary: tuple[Tensor, Tensor]) -> Tensor:
        gains = x.new_empty(0) if gain is None else gain
        return _swapped(triton.turned(_swapped(x).contiguous(), gains, *rotary, EPSILON))

    def without_own_value(y: Tensor, v: Tensor) -> Tensor:
        y, v = _swapped(y).contiguous(), _swapped(v).contiguous()
        return _swapped(triton.without_own_value(y, v, SMALLEST_SQUARE))

    each = (leaky_square, turned, without_own_value)
    return {function.__name__: function for function in each}


def difference(
    name: str,
    kernel: Operation,
    config: ModelConfig,
    device: torch.device,
    dtype: torch.dtype,
    compiled: bool,
) -> float:
    """The worst ‖found − expected‖ / ‖expected‖ of a kernel's result and its gradients.

    Expected is the definition's, in float32, on the same values.
    """
    inputs, fixed = _inputs(name, config, device)
    rounded = [each.to(dtype if each.ndim > 1 else torch.float32) for each in inputs]
    kernel = torch.compile(kernel, fullgraph=True, dynamic=False) if compiled else kernel
    found = _both_ways(kernel, rounded, fixed, dtype)
    definition = getattr(Operations(), name)
    expected = _both_ways(definition, [each.float() for each in rounded], fixed, dtype)
    pairs = zip(found, expected, strict=True)
    return max(float((a.float() - b).norm() / b.norm()) for a, b in pairs)


def _inputs(
    name: str, config: ModelConfig, device: torch.device
) -> tuple[list[Tensor], list[object]]:
    """Random values of an operation's arguments that have gradients, and the other arguments."""
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    if name == "leaky_square":
        return [drawn(_BATCH, _TIME, config.mlp_width)], []
    heads, kv_heads = (  # laid out as products leave them
        drawn(_BATCH, _TIME, count, config.head_width).transpose(1, 2)
        for count in (config.heads, config.kv_heads)
    )
    if name == "turned":
        angles = 3 * drawn(_TIME, config.rope_dims // 2)
        return [heads, drawn(config.heads)], [(angles.cos(), angles.sin())]
    return [heads, kv_heads], []


def _both_ways(
    operation: Operation, inputs: list[Tensor], fixed: list[object], dtype: torch.dtype
) -> list[Tensor]:
    """An operation's result, and the gradients of a projection on random values of a type."""
    inputs = [each.detach().requires_grad_() for each in inputs]
    result = operation(*inputs, *fixed)
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(result.shape, generator=generator).to(dtype).to(result)
    return [result.detach(), *torch.autograd.grad(result, inputs, weights)]


def _swapped(x: Tensor) -> Tensor:
    """(batch, heads, time, …) ↔ (batch, time, heads, …)."""
    return x.transpose(1, 2)
