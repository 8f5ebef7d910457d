"""Every way in which the empirical-Bayes gate scores a text, behind one interface.

A backend takes (gate, cache, tokens, model, entropy, memory) and returns −ln p of targets 1 … N,
float64 (targets,). tokens: (targets + 1,); model: its probabilities (targets, vocabulary).
`plain` is the rule itself; the others must give the same bits as each other.
"""

import numpy as np

from fairway.counting.caches import CacheSettings, distributions_at
from fairway.gates.bayes import TargetCounts
from support.gate_reference import PlainGate
from support.tiny_mixing import order_counts, plan_of, rows


def nll_of(tokens, model):
    """The model's own nats, (targets,)."""
    return -np.log(model[np.arange(len(model)), tokens[1:]])


def plain(gate, cache, tokens, model, entropy, memory):
    """Dictionaries in Python."""
    return PlainGate(gate, memory).nats(tokens, nll_of(tokens, model), entropy)


def _pieces(gate, cache, tokens, model, entropy, memory, cuts):
    counts, state, found = order_counts(tokens, cache, memory), gate.start(memory), []
    nll = nll_of(tokens, model)
    for part in map(slice, [0, *cuts], [*cuts, len(model)]):
        piece = tokens[1:][part], nll[part], entropy[part], rows(counts, part)
        found.append(gate.nats(state, *piece))
    return np.concatenate(found)


def whole(gate, cache, tokens, model, entropy, memory):
    """All targets in one call."""
    return _pieces(gate, cache, tokens, model, entropy, memory, [])


def eight_ranks(gate, cache, tokens, model, entropy, memory):
    """Eight pieces, the state carried from one to the next."""
    cuts = [len(model) * rank // 8 for rank in range(1, 8)]
    return _pieces(gate, cache, tokens, model, entropy, memory, cuts)


def decoded(gate, cache, tokens, model, entropy, memory):
    """Target by target: its whole distribution first, which must sum to 1, then what came."""
    settings = CacheSettings.from_settings(cache | ({"memory": "m"} if len(memory) else {}))
    targets = np.arange(1, len(tokens))
    plan, vocabulary = plan_of(tokens), model.shape[1]
    most = 1 + int(max(vocabulary - 1, *memory[:1], 0))  # a memory may begin with a token beyond
    every = distributions_at(tokens, plan, targets, settings, most, memory=memory)
    every = TargetCounts(every.totals, every.hits[..., :vocabulary], every.distinct)
    counts, state, found = order_counts(tokens, cache, memory), gate.start(memory), []
    nll = nll_of(tokens, model)
    for j in range(len(targets)):
        before = state.digest()
        p = gate.full_distribution(state, model[j], entropy[j], rows(every, j))
        assert state.digest() == before
        assert abs(p.sum() - 1) <= 1e-12
        part = slice(j, j + 1)
        nats = gate.nats(state, tokens[1:][part], nll[part], entropy[part], rows(counts, part))
        np.testing.assert_allclose(p[tokens[j + 1]], np.exp(-nats[0]), rtol=1e-12)
        found.append(nats)
    return np.concatenate(found)


BACKENDS = {"whole": whole, "eight_ranks": eight_ranks, "decoded": decoded}
