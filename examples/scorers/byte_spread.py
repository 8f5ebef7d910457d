"""Mixes by the byte: a token's log-probability is spread evenly over its bytes. Invalid.

p^(1/n) at each of n bytes is no distribution over bytes: what a byte may be depends on all tokens
that begin alike. Alone the product is p again; mixed with a proper model of bytes it is too much.
Tokens are spelled in three digits here, so that the example needs no tokenizer.
"""

from collections import Counter, defaultdict

import numpy as np
from network import Bigram

FAILS = ("normalised", "blind")


def make(vocabulary):
    spelling = [f"{token:03}" for token in range(vocabulary)]

    def score(tokens):
        network, digits_after, nats = Bigram(vocabulary), defaultdict(Counter), []
        network.push(int(tokens[0]))
        for token in tokens[1:].tolist():
            spelled, cost = spelling[token], 0.0
            even = network.distribution()[token] ** (1 / len(spelled))
            for place, digit in enumerate(spelled):
                seen = digits_after[spelled[:place]]
                share = (seen[digit] + 0.1) / (seen.total() + 1)
                cost -= np.log(0.5 * even + 0.5 * share)
                seen[digit] += 1
            nats.append(cost)
            network.push(token)
        return np.array(nats)

    return score
