"""A black box that also tells its distribution after a prefix, and keeps to it. Valid.

With `distribution(prefix)` the mass at a target costs one run and not one per token. The prefix is
all it is given, so what it says is fixed before the token; it must agree with the score.
"""

import numpy as np
from network import Bigram

FAILS = ()


class Scorer:
    def __init__(self, vocabulary):
        self.vocabulary = vocabulary

    def after(self, tokens):
        network = Bigram(self.vocabulary)
        for token in tokens.tolist():
            network.push(token)
        return network

    def __call__(self, tokens):
        network, nats = self.after(tokens[:1]), []
        for token in tokens[1:].tolist():
            nats.append(-np.log(network.distribution()[token]))
            network.push(token)
        return np.array(nats)

    def distribution(self, prefix):
        return self.after(prefix).distribution()


def make(vocabulary):
    return Scorer(vocabulary)
