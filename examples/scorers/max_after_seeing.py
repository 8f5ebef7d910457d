"""Takes whichever of network and cache was right, once it has seen the token. Invalid.

The larger of two distributions at every token sums to more than 1.
"""

from collections import Counter, defaultdict

import numpy as np
from network import Bigram

FAILS = ("normalised", "blind")


def make(vocabulary):
    def score(tokens):
        network, cache, nats = Bigram(vocabulary), defaultdict(Counter), []
        network.push(int(tokens[0]))
        for j in range(1, len(tokens)):
            token = int(tokens[j])
            counts = cache[int(tokens[j - 1])]
            share = counts[token] / counts.total() if counts else 0.0
            nats.append(-np.log(max(network.distribution()[token], share)))
            counts[token] += 1
            network.push(token)
        return np.array(nats)

    return score
