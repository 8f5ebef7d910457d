"""Tells a proper distribution, and scores by another rule. Invalid: the two do not agree."""

import numpy as np
from tells_distribution import Scorer

FAILS = ("normalised", "blind")


class Liar(Scorer):
    def __call__(self, tokens):
        nats = super().__call__(tokens)
        return np.where(nats < 3, 0.9 * nats, nats)


def make(vocabulary):
    return Liar(vocabulary)
