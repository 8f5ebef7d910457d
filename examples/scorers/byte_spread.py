"""Mixes by the byte: a token's log-probability is spread evenly over its bytes. Invalid.

p^(1/n) at each of n bytes is no distribution over bytes: what a byte may be depends on all tokens
that begin alike. The product is the token's p again, but mixed with a byte model it is too much.
Tokens are spelled in digits here, so that the example needs no tokenizer.
"""

from collections import Counter, defaultdict

import numpy as np
from network import Bigram

FAILS = ("normalised", "blind")
LAMBDA = 0.8


def make(vocabulary):
    spelling = [f"{token},".encode() for token in range(vocabulary)]

    def score(tokens):
        network, bytes_after, nats = Bigram(vocabulary), defaultdict(Counter), []
        network.push(int(tokens[0]))
        before = spelling[tokens[0]][-2:]
        for token in tokens[1:].tolist():
            spelled, cost = spelling[token], 0.0
            even = network.distribution()[token] ** (1 / len(spelled))
            for byte in spelled:
                seen = bytes_after[before]
                share = (seen[byte] + 1 / 256) / (seen.total() + 1)
                cost -= np.log(LAMBDA * even + (1 - LAMBDA) * share)
                seen[byte] += 1
                before = (before + bytes([byte]))[-2:]
            nats.append(cost)
            network.push(token)
        return np.array(nats)

    return score
