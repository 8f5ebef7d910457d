"""Exact counts of contexts of 0 to 3 tokens, each mixed with the next shorter one. Valid.

What followed a context adds up to how often it was seen, so every step is a distribution.
"""

from collections import Counter, defaultdict

import numpy as np

FAILS = ()
LONGEST, STRENGTH = 3, 2.0


class Backoff:
    def __init__(self, vocabulary):
        self.vocabulary = vocabulary
        self.followers = defaultdict(Counter)  # context → how often each token followed
        self.context = ()

    def contexts(self):
        return [self.context[len(self.context) - n :] for n in range(len(self.context) + 1)]

    def distribution(self):
        p = np.full(self.vocabulary, 1 / self.vocabulary)
        for context in self.contexts():
            counts = self.followers.get(context, {})
            total = sum(counts.values())
            p *= STRENGTH / (total + STRENGTH)
            for token, count in counts.items():
                p[token] += count / (total + STRENGTH)
        return p

    def push(self, token):
        for context in self.contexts():
            self.followers[context][token] += 1
        self.context = (*self.context, token)[-LONGEST:]


def make(vocabulary):
    return Backoff(vocabulary)
