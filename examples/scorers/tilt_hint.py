"""A hint from the prefix is made likelier, and all else less likely by as much. Valid.

The hint h is what followed the last two tokens most often:
p'(v) = p(v)·e^{β[v=h]} / (1 + p(h)(e^β−1)).
"""

from collections import Counter, defaultdict

import numpy as np
from network import Bigram

FAILS = ()
BETA = 2.0


class Tilted:
    def __init__(self, vocabulary):
        self.network, self.followers = Bigram(vocabulary), defaultdict(Counter)
        self.context = ()

    def hint(self):
        found = self.followers.get(self.context)
        return max(found, key=found.get) if found else None

    def distribution(self):
        p, hint = self.network.distribution(), self.hint()
        if hint is not None:
            rest = 1 + p[hint] * (np.exp(BETA) - 1)
            p[hint] *= np.exp(BETA)
            p /= rest
        return p

    def push(self, token):
        self.followers[self.context][token] += 1
        self.context = (*self.context, token)[-2:]
        self.network.push(token)


def make(vocabulary):
    return Tilted(vocabulary)
