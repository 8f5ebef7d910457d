"""The same tilt, but only where the token that comes is of the hint's class. Invalid: a leak.

Every distribution it takes a number from sums to 1. But which one it takes depends on the token: a
wrong hint costs nothing unless it is nearly right, so the numbers taken sum to more than 1.
"""

import numpy as np
from tilt_hint import Tilted

FAILS = ("blind",)
CLASSES = 8


def make(vocabulary):
    def score(tokens):
        model, nats = Tilted(vocabulary), []
        model.push(int(tokens[0]))
        for token in tokens[1:].tolist():
            hint = model.hint()
            same_class = hint is not None and hint % CLASSES == token % CLASSES
            p = model.distribution() if same_class else model.network.distribution()
            nats.append(-np.log(p[token]))
            model.push(token)
        return np.array(nats)

    return score
