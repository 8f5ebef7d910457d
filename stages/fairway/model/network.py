"""The language model: the forward pass that training, quantising and scoring share.

The architecture is that of parameter-golf PR #796, with the blocks either independent, as its
published script has them, or shared between virtual layers, as its text describes (EBLS: a
shared block is the prior, a gated low-rank deviation per virtual layer the correction).

    embedding   token + scale · bigram → RMSNorm → smear → x0
    layer       x ← m0·x + m1·x0; x += s_a · attention(norm x); x += s_m · mlp(norm x)
    head        RMSNorm, tied embedding, logits capped by tanh
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairway.model.architecture import ModelConfig
from fairway.stage import StageError

_EPSILON = torch.finfo(torch.float32).eps  # of norms, in every type
_NO_TOKEN = -1  # stands for the token before the first one


@dataclass
class State:
    """What a continued forward keeps of the tokens so far: see `Model.start_state`."""

    position: int  # tokens seen
    token: Tensor  # (batch, 1): the last one
    embedded: Tensor  # (batch, 1, width): its embedding, before the smear
    keys: list[Tensor]  # per virtual layer (batch, kv_heads, length, head_width)
    values: list[Tensor]
    deviations: list[dict[str, Tensor]]  # per virtual layer


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
            self.gamma_logit = nn.Parameter(torch.full((), config.gamma_init))

    def gated_deviations(self) -> dict[str, Tensor]:
        """γ·A·B, (outputs, inputs), of every matrix that deviates."""
        if not self.deviations:
            return {}
        gamma = torch.sigmoid(self.gamma_logit)
        return {name: (gamma * part.a) @ part.b for name, part in self.deviations.items()}

    def forward(self, block, x, x0, first_value, value_embedding, rotary, deviations, attend):
        """x, x0 (batch, time, width) → x and this layer's values before mixing.

        first_value: the values of layer 0 (None there); attend(q, k, v): causal attention.
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
        q = rotate(norm(q), rotary) * self.query_gain[:, None, None].to(q.dtype)
        y = without_own_value(attend(q, rotate(norm(k), rotary), v), v)
        y = y.transpose(1, 2).flatten(2)
        x = x + attention_scale * block.o(y, deviations.get("o"))
        hidden = block.up(norm(x) * self.norm_scale, deviations.get("up"))
        hidden = F.leaky_relu(hidden, 0.5).square()
        return x + mlp_scale * block.down(hidden, deviations.get("down")), value

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, time, heads · head_width) → (batch, heads, time, head_width)."""
        return x.unflatten(-1, (-1, self.config.head_width)).transpose(1, 2)


def norm(x: Tensor) -> Tensor:
    """RMSNorm over the last dimension, without weights."""
    return F.rms_norm(x, (x.shape[-1],), eps=_EPSILON)


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
    own = F.normalize(v, dim=-1).unsqueeze(2)
    y = y.unflatten(1, (v.shape[1], -1))
    return (y - (y * own).sum(-1, keepdim=True) * own).flatten(1, 2)


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
        rows = torch.where(before == _NO_TOKEN, last, rows)
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


class Model(nn.Module):
    """The model of a ModelConfig. Matrices are 0 until `initialize` or load_state_dict.

    virtual_layers: for every virtual layer, the index of the block it runs.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.virtual_layers = config.virtual_layers
        depth = len(self.virtual_layers)
        self.token_embedding = nn.Parameter(torch.zeros(config.vocabulary, config.width))
        self.bigram = BigramEmbedding(config)
        self.value_embedding = ValueEmbedding(config) if config.value_embedding_layers else None
        self.smear_logit = nn.Parameter(torch.zeros(config.width))
        self.skip_weights = nn.Parameter(torch.ones(depth // 2, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.layers = nn.ModuleList(VirtualLayer(config, index) for index in range(depth))

    def forward(self, tokens: Tensor, last: int | None = None) -> Tensor:
        """tokens (batch, time) int64 → logits (batch, time, vocab) float32.

        last: if given, only the logits of that many last positions.
        """
        none = torch.full_like(tokens[:, :1], _NO_TOKEN)
        embedded = self._embed(tokens, none)
        deviations = [layer.gated_deviations() for layer in self.layers]
        x0 = self._smear(embedded, torch.zeros_like(embedded[:, :1]))
        x = self._layers(tokens, x0, 0, deviations, lambda index, q, k, v: attend(q, k, v))
        return self._head(x if last is None else x[:, -last:])

    def start_state(self, batch: int, length: int) -> State:
        """An empty state for `step`, with room for `length` tokens."""
        config, like = self.config, self.token_embedding
        shape = (batch, config.kv_heads, length, config.head_width)
        depth = range(len(self.layers))
        return State(
            0,
            torch.full((batch, 1), _NO_TOKEN, device=like.device),
            like.new_zeros(batch, 1, config.width),
            [like.new_zeros(shape) for _ in depth],
            [like.new_zeros(shape) for _ in depth],
            [layer.gated_deviations() for layer in self.layers],
        )

    def step(self, tokens: Tensor, state: State) -> Tensor:
        """Continue `state` by tokens (batch, time) → their logits (batch, time, vocab).

        An empty state takes any number of tokens, a later one takes one at a time. The logits
        are those of a forward over all tokens so far, up to rounding.
        """
        start, stop = state.position, state.position + tokens.shape[1]
        if start and tokens.shape[1] != 1:
            raise ValueError(f"{tokens.shape[1]} tokens at position {start}; expected 1")

        def attend_cached(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = state.keys[index], state.values[index]
            keys[:, :, start:stop], values[:, :, start:stop] = k, v
            return attend(q, keys[:, :, :stop], values[:, :, :stop])

        embedded = self._embed(tokens, state.token)
        x0 = self._smear(embedded, state.embedded)
        logits = self._head(self._layers(tokens, x0, start, state.deviations, attend_cached))
        state.position, state.token, state.embedded = stop, tokens[:, -1:], embedded[:, -1:]
        return logits

    def penalty(self) -> Tensor:
        """gamma_penalty · Σ γ: the cost of letting virtual layers deviate."""
        logits = [layer.gamma_logit for layer in self.layers if layer.deviations]
        if not logits:
            return self.token_embedding.new_zeros(())
        return self.config.gamma_penalty * torch.sigmoid(torch.stack(logits)).sum()

    def _embed(self, tokens: Tensor, token_before: Tensor) -> Tensor:
        before = torch.cat((token_before, tokens[:, :-1]), dim=1)
        x = norm(F.embedding(tokens, self.token_embedding) + self.bigram(tokens, before))
        return x.to(stream_dtype(x))

    def _smear(self, x: Tensor, x_before: Tensor) -> Tensor:
        gate = torch.sigmoid(self.smear_logit).to(x.dtype)
        return torch.lerp(x, torch.cat((x_before, x[:, :-1]), dim=1), gate)

    def _rotary(self, start: int, time: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine, (time, pairs), of positions from `start`.

        The base is NTK-scaled by the length the model is meant for, not by the length of this
        input: a logit must not depend on how many tokens follow.
        """
        config, device = self.config, self.token_embedding.device
        dims = config.rope_dims
        scale = max(1.0, config.rope_context / config.rope_train_length)
        base = config.rope_base * scale ** (dims / (dims - 2))
        exponents = torch.arange(0, dims, 2, device=device, dtype=torch.float32) / dims
        positions = torch.arange(start, start + time, device=device, dtype=torch.float32)
        angles = positions[:, None] * base**-exponents
        return angles.cos(), angles.sin()

    def _layers(self, tokens, x0, start, deviations, attend_in) -> Tensor:
        """All virtual layers, x0 → x; attend_in(layer index, q, k, v)."""
        rotary = self._rotary(start, tokens.shape[1])
        values = None if self.value_embedding is None else self.value_embedding(tokens)
        half = len(self.layers) // 2
        x, first_value, skips = x0, None, []
        for index, layer in enumerate(self.layers):
            if half <= index < 2 * half:
                x = x + self.skip_weights[index - half].to(x.dtype) * skips.pop()
            block = self.blocks[self.virtual_layers[index]]
            x, value = layer(
                block, x, x0, first_value, values, rotary, deviations[index],
                lambda q, k, v, index=index: attend_in(index, q, k, v),
            )  # fmt: skip
            first_value = value if first_value is None else first_value
            if index < half:
                skips.append(x)
        return x

    def _head(self, x: Tensor) -> Tensor:
        """x (…, width) → capped logits (…, vocab), float32."""
        logits = F.linear(norm(x), self.token_embedding).float()
        return self.config.logit_cap * torch.tanh(logits / self.config.logit_cap)


def state_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor in the state of a model, which is not made."""
    with torch.device("meta"):
        return {name: tuple(found.shape) for name, found in Model(config).state_dict().items()}


def require_state(config: ModelConfig, shapes: Mapping[str, Sequence[int]], name: object) -> None:
    """Raise StageError, naming `name` and the first tensor, unless a state fits the model."""
    expected = state_shapes(config)
    for key in sorted(expected.keys() | shapes.keys()):
        found, wanted = shapes.get(key), expected.get(key)
        if wanted is None or found is None or tuple(found) != wanted:
            of_file = "missing" if found is None else f"shape {list(found)}"
            of_model = "no such tensor" if wanted is None else f"shape {list(wanted)}"
            raise StageError(f"{name}: {key[:80]}: {of_file}; its model has {of_model}")


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention with grouped key/value heads, causal unless q is one position (then the last).

    q: (batch, heads, time, head_width); k, v: (batch, kv_heads, time so far, head_width).
    """
    return F.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1, enable_gqa=True)
