"""The "network" of the examples: two tokens are all it looks at, and it learns as it goes."""

import numpy as np

STRENGTH = 4.0  # how many tokens the frequencies are worth beside what followed a token


class Bigram:
    """Exact counts of pairs, mixed with frequencies: a distribution at every step."""

    def __init__(self, vocabulary):
        self.pairs = np.zeros((vocabulary, vocabulary))
        self.seen = np.ones(vocabulary)
        self.previous = None

    def distribution(self):
        frequencies = self.seen / self.seen.sum()
        counts = self.pairs[self.previous]
        return (counts + STRENGTH * frequencies) / (counts.sum() + STRENGTH)

    def push(self, token):
        if self.previous is not None:
            self.pairs[self.previous, token] += 1
            self.seen[token] += 1
        self.previous = token
