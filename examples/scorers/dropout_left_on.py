"""Dropout, still on when it scores: other numbers every time. Invalid: no decoder can follow."""

import numpy as np
from network import Bigram

FAILS = ("repeatable", "causal", "blind", "decoded")


class Dropout(Bigram):
    def distribution(self):
        kept = np.random.default_rng().random(len(self.seen)) < 0.9
        p = super().distribution() * np.where(kept, 1, 0.5)
        return p / p.sum()


def make(vocabulary):
    return Dropout(vocabulary)
