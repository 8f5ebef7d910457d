"""Every token is as likely as any other. Valid, and the floor that no valid score of noise beats.

A predictor: `distribution()` and `push(token)`.
"""

import numpy as np

FAILS = ()


class Uniform:
    def __init__(self, vocabulary):
        self.vocabulary = vocabulary

    def distribution(self):
        return np.full(self.vocabulary, 1 / self.vocabulary)

    def push(self, token):
        pass


def make(vocabulary):
    return Uniform(vocabulary)
