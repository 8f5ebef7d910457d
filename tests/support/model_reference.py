"""The model written again from its description, position by position, in float64.

Shares no code with fairway.model.network: plain sums over heads and earlier positions, for tests
only.
"""

import math

import torch
from torch import Tensor

from fairway.model.network import Model


def reference_logits(model: Model, tokens: list[int]) -> Tensor:
    """Logits (time, vocab) of one sequence."""
    config = model.config
    state = {name: tensor.double() for name, tensor in model.state_dict().items()}
    depth = len(config.virtual_layers)
    embedded = [_embed(state, tokens, t) for t in range(len(tokens))]
    gate = torch.sigmoid(state["smear_logit"])
    before = [torch.zeros(config.width).double(), *embedded[:-1]]
    x0 = [(1 - gate) * x + gate * last for x, last in zip(embedded, before, strict=True)]
    x, stack, first_values = x0, [], None
    for index in range(depth):
        if depth // 2 <= index < 2 * (depth // 2):
            weight, skip = state["skip_weights"][index - depth // 2], stack.pop()
            x = [a + weight * b for a, b in zip(x, skip, strict=True)]
        x, values = _layer(state, config, index, x, x0, tokens, first_values)
        first_values = values if first_values is None else first_values
        if index < depth // 2:
            stack.append(x)
    cap, table = config.logit_cap, state["token_embedding"]
    return torch.stack([cap * torch.tanh(table @ _norm(row) / cap) for row in x])


def _norm(x: Tensor) -> Tensor:
    return x / torch.sqrt((x * x).mean() + torch.finfo(torch.float32).eps)


def _embed(state, tokens: list[int], t: int) -> Tensor:
    table = state["bigram.embedding"]
    row = len(table) - 1
    if t > 0:
        row = ((36313 * tokens[t]) ^ (27191 * tokens[t - 1])) % (len(table) - 1)
    bigram = state["bigram.projection"] @ table[row]
    return _norm(state["token_embedding"][tokens[t]] + state["bigram.scale"] * bigram)


def _weight(state, config, index: int, name: str) -> Tensor:
    """W + γ·A·B of a virtual layer."""
    weight = state[f"blocks.{config.virtual_layers[index]}.{name}.weight"]
    prefix = f"layers.{index}."
    if f"{prefix}deviations.{name}.a" not in state:
        return weight
    gamma = torch.sigmoid(state[f"{prefix}gamma_logit"])
    a, b = (state[f"{prefix}deviations.{name}.{part}"] for part in "ab")
    return weight + gamma * a @ b


def _layer(state, config, index, x, x0, tokens, first_values):
    get = lambda name: state[f"layers.{index}.{name}"]  # noqa: E731
    weight = {n: _weight(state, config, index, n) for n in ("q", "k", "v", "o", "up", "down")}
    scale = 1 / math.sqrt(index + 1)
    x = [get("stream_mix") * a + get("input_mix") * b for a, b in zip(x, x0, strict=True)]
    normed = [_norm(a) * scale for a in x]
    values = [weight["v"] @ a for a in normed]
    if index in config.value_embedding_layers:
        for t, token in enumerate(tokens):
            extra = state["value_embedding.projection"] @ state["value_embedding.embedding"][token]
            extra = state["value_embedding.scale"] * extra
            values[t] = values[t] + get("value_embedding_scale") * extra
    mixed = values
    if index > 0:
        first, own = get("value_mix")
        mixed = [first * a + own * b for a, b in zip(first_values, values, strict=True)]
    queries, keys = ([weight[name] @ a for a in normed] for name in "qk")
    out = []
    for t in range(len(x)):
        attention = _attention(config, get("query_gain"), t, queries, keys, mixed)
        y = x[t] + get("attention_scale") * (weight["o"] @ attention)
        hidden = weight["up"] @ (_norm(y) * scale)
        hidden = torch.where(hidden > 0, hidden, 0.5 * hidden) ** 2
        out.append(y + get("mlp_scale") * (weight["down"] @ hidden))
    return out, values


def _attention(config, gain, t, queries, keys, values) -> Tensor:
    width, group = config.width // config.heads, config.heads // config.kv_heads
    out = []
    for head in range(config.heads):
        kv = slice(head // group * width, (head // group + 1) * width)
        q = _norm(queries[t][head * width : (head + 1) * width])
        q = _rotate(config, q, t) * gain[head]
        scores = torch.stack(
            [q @ _rotate(config, _norm(keys[s][kv]), s) for s in range(t + 1)]
        ) / math.sqrt(width)
        y = sum(p * values[s][kv] for s, p in enumerate(torch.softmax(scores, 0)))
        own = values[t][kv] / values[t][kv].norm()
        out.append(y - (y @ own) * own)
    return torch.cat(out)


def _rotate(config, x: Tensor, position: int) -> Tensor:
    """Turn each pair (i, i + dims/2) as a complex number."""
    dims = config.rope_dims
    scale = max(1.0, config.rope_context / config.rope_train_length)
    base = config.rope_base * scale ** (dims / (dims - 2))
    out = x.clone()
    for i in range(dims // 2):
        angle = -position / base ** (2 * i / dims)
        value = complex(x[i], x[i + dims // 2]) * complex(math.cos(angle), math.sin(angle))
        out[i], out[i + dims // 2] = value.real, value.imag
    return out
