"""Trusts the network more if the token after the target is a frequent one. Invalid: looks ahead.

At every target it is a distribution, but one that a decoder does not have.
"""

import numpy as np
from network import Bigram

FAILS = ("causal",)


def make(vocabulary):
    def score(tokens):
        network, nats = Bigram(vocabulary), []
        tokens = tokens.tolist()
        network.push(tokens[0])
        for token, following in zip(tokens[1:], [*tokens[2:], 0], strict=True):
            trust = 0.95 if network.seen[following] > 3 else 0.8
            p = trust * network.distribution() + (1 - trust) / vocabulary
            nats.append(-np.log(p[token]))
            network.push(token)
        return np.array(nats)

    return score
