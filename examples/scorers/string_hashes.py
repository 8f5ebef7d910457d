"""Ties are broken by Python's hash of a string, which is another one in every process. Invalid.

Within a process all is well, and each distribution is one. But a decoder starts its own process.
"""

import numpy as np
from network import Bigram

FAILS = ("repeatable", "decoded")


class StringHashes(Bigram):
    def __init__(self, vocabulary):
        super().__init__(vocabulary)
        self.favour = np.array([1 + hash(str(token)) % 2 for token in range(vocabulary)])

    def distribution(self):
        p = super().distribution() * self.favour
        return p / p.sum()


def make(vocabulary):
    return StringHashes(vocabulary)
