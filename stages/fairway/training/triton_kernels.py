"""What a layer computes between its products, each as one Triton kernel per direction.

A kernel reads and writes every value once; what torch.compile makes of the definitions in
`fairway.model.layers` passes over some of them several times. Arrays are contiguous (batch, time,
heads, head_width), the memory of the products before and behind, so that attention and the output
product read what is there. All arithmetic is float32, whatever the arrays are.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.library import triton_op, wrap_triton

_VALUES = 1024  # that a program works on
_WARPS = 4


@triton.jit
def _squares(x, out, count, block: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    value = tl.load(x + at, mask=at < count, other=0.0).to(tl.float32)
    leaky = tl.where(value > 0, value, 0.5 * value)
    tl.store(out + at, (leaky * leaky).to(out.dtype.element_ty), mask=at < count)


@triton.jit
def _squares_backward(x, gradient, out, count, block: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    value = tl.load(x + at, mask=at < count, other=0.0).to(tl.float32)
    g = tl.load(gradient + at, mask=at < count, other=0.0).to(tl.float32)
    found = g * tl.where(value > 0, 2.0 * value, 0.5 * value)
    tl.store(out + at, found.to(out.dtype.element_ty), mask=at < count)


@triton.jit
def _places(rows, length, heads: tl.constexpr, width: tl.constexpr, pairs: tl.constexpr,
            padded: tl.constexpr, block: tl.constexpr):  # fmt: skip
    """Of a program's rows: mask (block, padded), place of each value, place of the one that it
    turns with, whether it turns, and the places of its angle and (block, 1) its head's gain."""
    row = tl.program_id(0) * block + tl.arange(0, block)[:, None]
    column = tl.arange(0, padded)[None, :]
    mask = (row < rows) & (column < width)
    other = tl.where(column < pairs, column + pairs, column - pairs)
    turns = mask & (column < 2 * pairs)
    angle = (row // heads) % length * pairs + column % pairs
    start = row.to(tl.int64) * width
    return mask, start + column, start + other, turns, angle, row % heads


@triton.jit
def _turned(array, gain, cosine, sine, out, rows, length, epsilon, gained: tl.constexpr,
            heads: tl.constexpr, width: tl.constexpr, pairs: tl.constexpr,
            padded: tl.constexpr, block: tl.constexpr):  # fmt: skip
    mask, at, partner, turns, angle, head = _places(
        rows, length, heads, width, pairs, padded, block
    )
    x = tl.load(array + at, mask=mask, other=0.0).to(tl.float32)
    with_it = tl.load(array + partner, mask=turns, other=0.0).to(tl.float32)
    cos = tl.load(cosine + angle, mask=turns, other=1.0)
    sin = tl.load(sine + angle, mask=turns, other=0.0)
    sin = tl.where(tl.arange(0, padded)[None, :] < pairs, sin, -sin)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, 1)[:, None] / width + epsilon)
    if gained:
        scale *= tl.load(gain + head).to(tl.float32)
    y = (x * cos + with_it * sin) * scale
    tl.store(out + at, y.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _turned_backward(array, gain, cosine, sine, gradient, out, of_gain, rows, length, epsilon,
                     gained: tl.constexpr, heads: tl.constexpr, width: tl.constexpr,
                     pairs: tl.constexpr, padded: tl.constexpr, block: tl.constexpr):  # fmt: skip
    mask, at, partner, turns, angle, head = _places(
        rows, length, heads, width, pairs, padded, block
    )
    x = tl.load(array + at, mask=mask, other=0.0).to(tl.float32)
    g = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
    with_it = tl.load(gradient + partner, mask=turns, other=0.0).to(tl.float32)
    cos = tl.load(cosine + angle, mask=turns, other=1.0)
    sin = tl.load(sine + angle, mask=turns, other=0.0)
    sin = tl.where(tl.arange(0, padded)[None, :] < pairs, sin, -sin)
    back = g * cos - with_it * sin
    scale = 1.0 / tl.sqrt(tl.sum(x * x, 1)[:, None] / width + epsilon)
    normed = x * scale
    if gained:
        row = tl.program_id(0) * block + tl.arange(0, block)
        tl.store(of_gain + row, tl.sum(back * normed, 1), mask=row < rows)
        back *= tl.load(gain + head).to(tl.float32)
    along = tl.sum(back * normed, 1)[:, None] / width
    found = scale * (back - normed * along)
    tl.store(out + at, found.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _without(array, values, out, rows, smallest, group: tl.constexpr, width: tl.constexpr,
             padded: tl.constexpr, block: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)[:, None]
    column = tl.arange(0, padded)[None, :]
    mask = (row < rows) & (column < width)
    v = tl.load(values + row * width + column, mask=mask, other=0.0).to(tl.float32)
    length = tl.maximum(tl.sum(v * v, 1)[:, None], smallest)
    for member in tl.static_range(group):
        at = (row * group + member) * width + column
        y = tl.load(array + at, mask=mask, other=0.0).to(tl.float32)
        share = tl.sum(y * v, 1)[:, None] / length
        tl.store(out + at, (y - share * v).to(out.dtype.element_ty), mask=mask)


@triton.jit
def _without_backward(array, values, gradient, out, of_values, rows, smallest,
                      group: tl.constexpr, width: tl.constexpr, padded: tl.constexpr,
                      block: tl.constexpr):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)[:, None]
    column = tl.arange(0, padded)[None, :]
    mask = (row < rows) & (column < width)
    v = tl.load(values + row * width + column, mask=mask, other=0.0).to(tl.float32)
    squares = tl.sum(v * v, 1)[:, None]
    length = tl.maximum(squares, smallest)
    total = tl.zeros_like(v)
    for member in tl.static_range(group):
        at = (row * group + member) * width + column
        y = tl.load(array + at, mask=mask, other=0.0).to(tl.float32)
        g = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
        share = tl.sum(y * v, 1)[:, None] / length
        lost = tl.sum(g * v, 1)[:, None] / length
        tl.store(out + at, (g - lost * v).to(out.dtype.element_ty), mask=mask)
        of_length = tl.where(squares > smallest, 2.0 * share * lost, 0.0)
        total += of_length * v - share * g - lost * y
    place = of_values + row * width + column
    tl.store(place, total.to(of_values.dtype.element_ty), mask=mask)


@triton_op("fairway::leaky_square", mutates_args=())
def leaky_square(x: Tensor) -> Tensor:
    """leaky(x)² of a contiguous array."""
    out = torch.empty_like(x)
    grid = (triton.cdiv(x.numel(), _VALUES),)
    wrap_triton(_squares)[grid](x, out, x.numel(), block=_VALUES, num_warps=_WARPS)
    return out


@triton_op("fairway::leaky_square_backward", mutates_args=())
def _leaky_square_backward(x: Tensor, gradient: Tensor) -> Tensor:
    out = torch.empty_like(x)
    grid = (triton.cdiv(x.numel(), _VALUES),)
    wrap_triton(_squares_backward)[grid](
        x, gradient, out, x.numel(), block=_VALUES, num_warps=_WARPS
    )
    return out


@triton_op("fairway::turned", mutates_args=())
def turned(x: Tensor, gain: Tensor, cosine: Tensor, sine: Tensor, epsilon: float) -> Tensor:
    """RMSNorm of x (batch, time, heads, head_width), times gain (heads,), or none of it if that is
    empty, rotated by cosine and sine, float32 (time, pairs)."""
    out = torch.empty_like(x)
    grid, sizes = _by_rows(x)
    wrap_triton(_turned)[grid](
        x, gain, cosine, sine, out, x.numel() // x.shape[3], x.shape[1], epsilon,
        gained=gain.numel() > 0, heads=x.shape[2], pairs=cosine.shape[1], **sizes,
    )  # fmt: skip
    return out


@triton_op("fairway::turned_backward", mutates_args=())
def _turned_gradients(
    x: Tensor, gain: Tensor, cosine: Tensor, sine: Tensor, gradient: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Of x, and of each row's gain, float32 (batch, time, heads); empty without a gain."""
    out, gained = torch.empty_like(x), gain.numel() > 0
    of_gain = x.new_empty(x.shape[:3] if gained else (0,), dtype=torch.float32)
    grid, sizes = _by_rows(x)
    wrap_triton(_turned_backward)[grid](
        x, gain, cosine, sine, gradient, out, of_gain, x.numel() // x.shape[3], x.shape[1],
        epsilon, gained=gained, heads=x.shape[2], pairs=cosine.shape[1], **sizes,
    )  # fmt: skip
    return out, of_gain


@triton_op("fairway::without_own_value", mutates_args=())
def without_own_value(y: Tensor, v: Tensor, smallest: float) -> Tensor:
    """y (batch, time, heads, head_width) less its projection on v (batch, time, kv_heads, …)."""
    out = torch.empty_like(y)
    grid, sizes = _by_rows(v)
    wrap_triton(_without)[grid](
        y, v, out, v.numel() // v.shape[3], smallest,
        group=y.shape[2] // v.shape[2], **sizes,
    )  # fmt: skip
    return out


@triton_op("fairway::without_own_value_backward", mutates_args=())
def _without_gradients(
    y: Tensor, v: Tensor, gradient: Tensor, smallest: float
) -> tuple[Tensor, Tensor]:
    out, of_values = torch.empty_like(y), torch.empty_like(v)
    grid, sizes = _by_rows(v)
    wrap_triton(_without_backward)[grid](
        y, v, gradient, out, of_values, v.numel() // v.shape[3], smallest,
        group=y.shape[2] // v.shape[2], **sizes,
    )  # fmt: skip
    return out, of_values


def _by_rows(x: Tensor) -> tuple[tuple[int], dict[str, int]]:
    """The grid of a kernel over the rows of x (…, width), and its sizes."""
    width = x.shape[-1]
    padded = triton.next_power_of_2(width)
    block = max(1, _VALUES // padded)
    sizes = {"width": width, "padded": padded, "block": block, "num_warps": _WARPS}
    return (triton.cdiv(x.numel() // width, block),), sizes


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*(each for each in inputs if isinstance(each, Tensor)))
    ctx.number = next((each for each in inputs if isinstance(each, float)), None)


def _square_gradient(ctx: Any, gradient: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors
    return _leaky_square_backward(x, gradient.contiguous())


def _turned_gradient(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, gain, cosine, sine = ctx.saved_tensors
    of_x, of_gain = _turned_gradients(x, gain, cosine, sine, gradient.contiguous(), ctx.number)
    total = of_gain.sum((0, 1)).to(gain.dtype) if gain.numel() else None
    return of_x, total, None, None, None


def _without_gradient(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    y, v = ctx.saved_tensors
    return *_without_gradients(y, v, gradient.contiguous(), ctx.number), None


leaky_square.register_autograd(_square_gradient, setup_context=_save)
turned.register_autograd(_turned_gradient, setup_context=_save)
without_own_value.register_autograd(_without_gradient, setup_context=_save)
