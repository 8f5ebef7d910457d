"""Contexts are hashed, but each bucket counts its next tokens exactly. Valid: it only blurs.

Contexts that share a bucket share their followers. That makes the prediction worse, but what is
counted in a bucket still adds up to the bucket's total.
"""

import numpy as np

FAILS = ()
ORDERS, STRENGTH = (2, 3, 4), 4.0


class HashedContexts:
    def __init__(self, vocabulary, table_size):
        self.table_size = table_size
        self.seen = np.ones(vocabulary)
        self.counts = {n: np.zeros((table_size, vocabulary)) for n in ORDERS}
        self.past = []

    def buckets(self):
        for n in ORDERS:
            if len(self.past) >= n - 1:
                key = 0
                for token in self.past[1 - n :]:
                    key = (key * 1000003 + token + 1) % (1 << 61)
                yield n, key % self.table_size

    def distribution(self):
        p = self.seen / self.seen.sum()
        for n, bucket in self.buckets():
            counts = self.counts[n][bucket]
            p = (counts + STRENGTH * p) / (counts.sum() + STRENGTH)
        return p

    def push(self, token):
        for n, bucket in self.buckets():
            self.counts[n][bucket, token] += 1
        self.seen[token] += 1
        self.past.append(token)


def make(vocabulary, table_size=1024):
    return HashedContexts(vocabulary, table_size)
