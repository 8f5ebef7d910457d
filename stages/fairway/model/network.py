"""The language model: the forward pass that training, quantising and scoring share.

The architecture is that of parameter-golf PR #796, with the blocks either independent, as its
published script has them, or shared between virtual layers, as its text describes (EBLS: a
shared block is the prior, a gated low-rank deviation per virtual layer the correction).

    embedding   token + scale · bigram → RMSNorm → smear → x0
    layer       x ← m0·x + m1·x0; x += s_a · attention(norm x); x += s_m · mlp(norm x)
    head        RMSNorm, tied embedding, logits capped by tanh

Its parts are in `fairway.model.layers`.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairway.model.architecture import ModelConfig
from fairway.model.layers import (
    NO_TOKEN,
    BigramEmbedding,
    Block,
    Operations,
    ValueEmbedding,
    VirtualLayer,
    attend,
    norm,
    stream_dtype,
)

_TINY = 1e-12  # matrices that start at 0 have no norm to divide by


@dataclass
class State:
    """What a continued forward keeps of the tokens so far: see `Model.start_state`."""

    position: int  # tokens seen
    token: Tensor  # (batch, 1): the last one
    embedded: Tensor  # (batch, 1, width): its embedding, before the smear
    keys: list[Tensor]  # per virtual layer (batch, kv_heads, length, head_width)
    values: list[Tensor]
    deviations: list[dict[str, Tensor]]  # per virtual layer


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

    def use(self, operations: Operations) -> None:
        """Let every layer compute with these."""
        for layer in self.layers:
            layer.operations = operations

    def forward(self, tokens: Tensor, last: int | None = None) -> Tensor:
        """tokens (batch, time) int64 → logits (batch, time, vocab) float32.

        last: if given, only the logits of that many last positions.
        """
        return self._head(self.stream(tokens, last))

    def stream(self, tokens: Tensor, last: int | None = None) -> Tensor:
        """x after all layers, which the head reads: (batch, time or `last`, width)."""
        none = torch.full_like(tokens[:, :1], NO_TOKEN)
        embedded = self._embed(tokens, none)
        deviations = [layer.gated_deviations() for layer in self.layers]
        x0 = self._smear(embedded, torch.zeros_like(embedded[:, :1]))
        return self._layers(
            tokens, x0, self.rotary(0, tokens.shape[1]), deviations,
            lambda index, q, k, v: attend(q, k, v), last,
        )  # fmt: skip

    def start_state(self, batch: int, length: int) -> State:
        """An empty state for `step`, with room for `length` tokens."""
        config, like = self.config, self.token_embedding
        shape = (batch, config.kv_heads, length, config.head_width)
        depth = range(len(self.layers))
        return State(
            0,
            torch.full((batch, 1), NO_TOKEN, device=like.device),
            like.new_zeros(batch, 1, config.width),
            [like.new_zeros(shape) for _ in depth],
            [like.new_zeros(shape) for _ in depth],
            [layer.gated_deviations() for layer in self.layers],
        )

    def step(self, tokens: Tensor, state: State, last: int | None = None) -> Tensor:
        """Continue `state` by tokens (batch, time) → their logits (batch, time, vocab).

        An empty state takes any number of tokens, a later one takes one at a time. The logits
        are those of a forward over all tokens so far, up to rounding. last: as in `forward`.
        """
        start, stop = state.position, state.position + tokens.shape[1]
        if start and tokens.shape[1] != 1:
            raise ValueError(f"{tokens.shape[1]} tokens at position {start}; expected 1")

        def attend_cached(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = state.keys[index], state.values[index]
            keys[:, :, start:stop], values[:, :, start:stop] = k, v
            return attend(q, keys[:, :, :stop], values[:, :, :stop])

        rotary = self.rotary(start, stop - start)
        logits, embedded = self.continued(
            tokens, state.token, state.embedded, rotary, state.deviations, attend_cached, last
        )
        state.position, state.token, state.embedded = stop, tokens[:, -1:], embedded[:, -1:]
        return logits

    def continued(
        self, tokens, token_before, embedded_before, rotary, deviations, attend_in, last=None
    ) -> tuple[Tensor, Tensor]:
        """Logits of tokens (batch, time) and their embeddings, behind what came before them.

        token_before, embedded_before, deviations: as a `State` has them; rotary: of the tokens'
        positions; attend_in(layer index, q, k, v): attention to all tokens so far.
        """
        embedded = self._embed(tokens, token_before)
        x0 = self._smear(embedded, embedded_before)
        x = self._layers(tokens, x0, rotary, deviations, attend_in, last)
        return self._head(x), embedded

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

    def rotary(self, start: int, time: int) -> tuple[Tensor, Tensor]:
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

    def _layers(self, tokens, x0, rotary, deviations, attend_in, last=None) -> Tensor:
        """All virtual layers, x0 → x of the `last` positions; attend_in(layer index, q, k, v)."""
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
                last if index == len(self.layers) - 1 else None,
            )  # fmt: skip
            first_value = value if first_value is None else first_value
            if index < half:
                skips.append(x)
        return x

    def _head(self, x: Tensor) -> Tensor:
        """x (…, width) → capped logits (…, vocab), float32."""
        logits = F.linear(norm(x), self.token_embedding).float()
        return self.config.logit_cap * torch.tanh(logits / self.config.logit_cap)


@torch.no_grad()
def unshared(model: Model) -> Model:
    """The same network of independent blocks, deviations added: larger, with less to compute."""
    config, state = model.config, model.state_dict()
    sizes = {"shared_blocks": 0, "loops": 0, "unique_blocks": len(model.layers)}
    result = Model(replace(config, **sizes, lora_rank=0, lora_matrices=()))
    for index, layer in enumerate(model.layers):
        deviations = layer.gated_deviations()
        for name, part in model.blocks[config.virtual_layers[index]].named_children():
            weight = part.weight + deviations[name] if name in deviations else part.weight
            state[f"blocks.{index}.{name}.weight"] = weight
    result.load_state_dict({name: state[name] for name in result.state_dict()})
    return result.eval().requires_grad_(False)


@torch.no_grad()
def deviation_norms(model: Model) -> list[dict[str, Any]]:
    """‖γ·A·B‖ / ‖W‖ (Frobenius) of every matrix that deviates, per virtual layer.

    γ alone says little: only its product with A·B is identifiable, a smaller gate being made up
    for by larger factors. Empty for independent layers.
    """
    norms = []
    for index, layer in enumerate(model.layers):
        deviations = layer.gated_deviations()
        if not deviations:
            continue
        block = model.blocks[model.virtual_layers[index]]
        norms_of_block = {
            name: block.get_submodule(name).weight.norm().clamp_min(_TINY) for name in deviations
        }
        ratios = {
            name: (deviation.norm() / norms_of_block[name]).item()
            for name, deviation in deviations.items()
        }
        norms.append(
            {
                "layer": index,
                "block": model.virtual_layers[index],
                "gamma": torch.sigmoid(layer.gamma_logit).item(),
                "ratio": ratios,
            }
        )
    return norms
