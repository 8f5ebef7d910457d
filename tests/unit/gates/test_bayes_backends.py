"""Every way of scoring by the empirical-Bayes gate against the rule in plain Python, learning."""

import numpy as np
import pytest

from fairway.counting.segments import NO_MEMORY
from fairway.gates.bayes import BayesGate
from support.gate_backends import BACKENDS, plain
from support.gate_reference import PlainGate
from support.tiny_mixing import CACHE, VOCABULARY, documents, model_scores

CASES = {  # settings of the gate, of the cache, whether behind a memory
    "default": ({}, {}, False),
    "no trees": ({"document_orders": 0, "continuation_orders": 0}, {}, False),
    "document alone": ({"document_orders": 3, "continuation_orders": 0}, {"min_order": 1}, True),
    "short": ({"document_orders": 2, "continuation_orders": 1}, {"max_order": 2}, True),
    "deep": ({"document_orders": 6, "continuation_orders": 3}, {"min_order": 4}, False),
    "memory": ({}, {}, True),
    "kin": ({"kin": True}, {}, False),
    "kin, memory": ({"kin": True}, {}, True),
    "kin alone": (
        {"kin": True, "document_orders": 0, "continuation_orders": 0},
        {"min_order": 1, "max_order": 1},
        True,
    ),
}


def made(case: str):
    """A gate, its cache, a text with its model's scores, and a memory."""
    gate, cache, has_memory = CASES[case]
    cache = CACHE | cache
    tokens, memory = documents(400), documents(200, seed=1) if has_memory else NO_MEMORY.copy()
    memory[:1] = VOCABULARY  # no gram that begins here comes again
    model, _, entropy = model_scores(tokens)
    return (
        BayesGate(cache["min_order"], cache["max_order"], **gate),
        cache,
        tokens,
        model,
        entropy,
        memory,
    )


@pytest.mark.parametrize("case", CASES)
def test_all_backends_score_by_the_rule(case):
    inputs = made(case)
    expected = plain(*inputs)
    found = {name: backend(*inputs) for name, backend in BACKENDS.items()}
    for name, nats in found.items():
        assert nats.tobytes() == found["whole"].tobytes(), name
    np.testing.assert_allclose(found["whole"], expected, rtol=2e-5)


@pytest.mark.parametrize("case", ["kin", "kin, memory"])
def test_the_text_has_kin(case):
    gate, _, tokens, _, entropy, memory = made(case)
    reference = PlainGate(gate, memory)
    reference.nats(tokens, entropy, entropy)
    assert reference.kin.meetings >= 5
