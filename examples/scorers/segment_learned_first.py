"""Learns from a segment of 32 tokens, then scores it, as test-time training in the wrong order.

Invalid: a segment's targets are known when they are scored. What came before is fair.
"""

import numpy as np
from network import Bigram

FAILS = ("causal", "normalised", "blind", "null")
SEGMENT = 32


def make(vocabulary):
    def score(tokens):
        network, nats = Bigram(vocabulary), []
        tokens = tokens.tolist()
        network.push(tokens[0])
        for start in range(1, len(tokens), SEGMENT):
            segment = tokens[start : start + SEGMENT]
            for token in segment:
                network.push(token)
            for previous, token in zip(tokens[start - 1 :], segment, strict=False):
                network.previous = previous
                nats.append(-np.log(network.distribution()[token]))
        return np.array(nats)

    return score
