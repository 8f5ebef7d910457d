"""Parts of the language model: matrices, blocks, virtual layers, attention, embeddings.

`fairway.model.network` says what they make up together.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairway.model.architecture import ModelConfig
from fairway.model.gradients import LeakySquare, Norm, by_hand

NO_TOKEN = -1  # stands for the token before the first one
EPSILON = torch.finfo(torch.float32).eps  # of norms, in every type
SMALLEST_SQUARE = 1e-24  # of a value's length, so that a value of zeros takes nothing away


class Linear(nn.Module):
    """x (…, inputs) → x (W + deviation)ᵀ (…, outputs), no bias. W is what is quantised."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))

    def forward(self, x: Tensor, deviation: Tensor | None = None) -> Tensor:
        return F.linear(x, self.weight if deviation is None else self.weight + deviation)


class Block(nn.Module):
    """The six matrices of a layer; several virtual layers may run the same block."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        for name, (outputs, inputs) in config.matrix_shapes.items():
            self.add_module(name, Linear(inputs, outputs))


class Deviation(nn.Module):
    """Low-rank correction A·B of one matrix in one virtual layer; starts at 0 since B does."""

    def __init__(self, outputs: int, inputs: int, rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(outputs, rank))
        self.b = nn.Parameter(torch.zeros(rank, inputs))


class VirtualLayer(nn.Module):
    """One application of a block: its own scalars and, for a shared block, its deviations."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.operations = Operations()
        self.norm_scale = (index + 1) ** -0.5
        self.stream_mix = nn.Parameter(torch.ones(width))  # m0
        self.input_mix = nn.Parameter(torch.zeros(width))  # m1
        self.attention_scale = nn.Parameter(torch.ones(width))
        self.mlp_scale = nn.Parameter(torch.ones(width))
        self.query_gain = nn.Parameter(torch.full((config.heads,), 1.5))
        if index > 0:  # weights of the first layer's values and of its own
            self.value_mix = nn.Parameter(torch.tensor([0.01, 0.99]))
        embeds = index in config.value_embedding_layers
        self.value_embedding_scale = nn.Parameter(torch.ones(1)) if embeds else None
        self.deviations = nn.ModuleDict()
        if config.virtual_layers[index] < config.shared_blocks and config.lora_matrices:
            for name in config.lora_matrices:
                self.deviations[name] = Deviation(*config.matrix_shapes[name], config.lora_rank)
            self.gamma_logit = nn.Parameter(torch.full((), float(config.gamma_init)))

    def gated_deviations(self) -> dict[str, Tensor]:
        """γ·A·B, (outputs, inputs), of every matrix that deviates."""
        if not self.deviations:
            return {}
        gamma = torch.sigmoid(self.gamma_logit)
        return {name: (gamma * part.a) @ part.b for name, part in self.deviations.items()}

    def forward(
        self, block, x, x0, first_value, value_embedding, rotary, deviations, attend, last=None
    ):
        """x, x0 (batch, time, width) → x and this layer's values before mixing.

        first_value: the values of layer 0 (None there); attend(q, k, v): causal attention; last:
        how many last positions of x are wanted, of which more would be computed for nothing.
        """
        scalars = self.stream_mix, self.input_mix, self.attention_scale, self.mlp_scale
        m0, m1, attention_scale, mlp_scale = (scalar.to(x.dtype) for scalar in scalars)
        x = m0 * x + m1 * x0
        normed = norm(x) * self.norm_scale
        value = block.v(normed, deviations.get("v"))
        if self.value_embedding_scale is not None:
            value = value + self.value_embedding_scale.to(value.dtype) * value_embedding
        mixed = value
        if first_value is not None:
            first, own = self.value_mix.to(value.dtype)
            mixed = first * first_value + own * value
        q = self._heads(block.q(normed, deviations.get("q")))
        k = self._heads(block.k(normed, deviations.get("k")))
        v = self._heads(mixed)
        q = self.operations.turned(q, self.query_gain, rotary)
        k = self.operations.turned(k, None, rotary)
        y = self.operations.without_own_value(attend(q, k, v), v)
        y = y.transpose(1, 2).flatten(2)
        if last is not None:
            x, y = x[:, -last:], y[:, -last:]
        x = x + attention_scale * block.o(y, deviations.get("o"))
        hidden = block.up(norm(x) * self.norm_scale, deviations.get("up"))
        hidden = self.operations.leaky_square(hidden)
        return x + mlp_scale * block.down(hidden, deviations.get("down")), value

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, time, heads · head_width) → (batch, heads, time, head_width)."""
        return x.unflatten(-1, (-1, self.config.head_width)).transpose(1, 2)


def norm(x: Tensor) -> Tensor:
    """RMSNorm over the last dimension, without weights."""
    if by_hand(x):
        return Norm.apply(x, EPSILON)
    return F.rms_norm(x, (x.shape[-1],), eps=EPSILON)


def leaky_square(x: Tensor) -> Tensor:
    """leaky(x)², slope ½ below 0."""
    if by_hand(x):
        return LeakySquare.apply(x)
    leaky = F.leaky_relu(x, 0.5)
    return leaky * leaky  # on CUDA, autocast makes a power float32


def turned(x: Tensor, gain: Tensor | None, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """RMSNorm of every head of x (batch, heads, time, head_width), times its gain (heads,),
    rotated."""
    x = norm(x)
    return rotate(x if gain is None else x * gain[:, None, None].to(x.dtype), rotary)


def stream_dtype(x: Tensor) -> torch.dtype:
    """Type of the activations: x's own, or autocast's while that is on (parameters stay)."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding of the leading dimensions of every head.

    x: (batch, heads, time, head_width); rotary: cosine and sine, each (time, pairs); the i-th
    dimension is paired with the (i + pairs)-th.
    """
    cosine, sine = (part.to(x.dtype) for part in rotary)
    pairs = cosine.shape[-1]
    first, second, rest = x.split((pairs, pairs, x.shape[-1] - 2 * pairs), dim=-1)
    turned = (first * cosine + second * sine, second * cosine - first * sine)
    return torch.cat((*turned, rest), dim=-1)


def without_own_value(y: Tensor, v: Tensor) -> Tensor:
    """XSA: each head's output less its projection on the value of its own position.

    y: (batch, heads, time, head_width); v: (batch, kv_heads, time, head_width).
    """
    v = v.unsqueeze(2)
    y = y.unflatten(1, (v.shape[1], -1))
    length = (v * v).sum(-1, keepdim=True).clamp_min(SMALLEST_SQUARE)
    share = (y * v).sum(-1, keepdim=True) / length  # v is never written scaled to length 1
    return (y - share.to(y.dtype) * v).flatten(1, 2)


@dataclass(frozen=True)
class Operations:
    """What a layer computes between its products: the definitions, or what takes their place."""

    leaky_square: Callable[[Tensor], Tensor] = leaky_square
    turned: Callable[[Tensor, Tensor | None, tuple[Tensor, Tensor]], Tensor] = turned
    without_own_value: Callable[[Tensor, Tensor], Tensor] = without_own_value


class BigramEmbedding(nn.Module):
    """Embedding of the hashed pair of the token and the one before it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(config.bigram_rows, config.bigram_width))
        self.projection = nn.Parameter(torch.zeros(config.width, config.bigram_width))
        self.scale = nn.Parameter(torch.tensor(0.05))

    def forward(self, tokens: Tensor, before: Tensor) -> Tensor:
        """tokens and the ones before them, (batch, time) → (batch, time, width)."""
        last = self.embedding.shape[0] - 1  # the row of a token with none before it
        rows = torch.bitwise_xor(36313 * tokens, 27191 * before) % last
        rows = torch.where(before == NO_TOKEN, last, rows)
        embedded = F.linear(F.embedding(rows, self.embedding), self.projection)
        return self.scale.to(embedded.dtype) * embedded


class ValueEmbedding(nn.Module):
    """A second embedding of the token, added to the values of some layers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.value_embedding_width
        self.embedding = nn.Parameter(torch.zeros(config.vocabulary, width))
        self.projection = nn.Parameter(torch.zeros(config.kv_width, width))
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, time) → (batch, time, kv_width)."""
        embedded = F.linear(F.embedding(tokens, self.embedding), self.projection)
        return self.scale.to(embedded.dtype) * embedded


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention with grouped key/value heads, causal unless q is one position (then the last).

    q: (batch, heads, time, head_width); k, v: (batch, kv_heads, time so far, head_width).
    """
    return F.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1, enable_gqa=True)
