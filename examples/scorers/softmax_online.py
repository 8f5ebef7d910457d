"""A black box in float32: a softmax over what follows a token, trained after every score. Valid.

Test-time training in the right order: the token is scored, then learned from.
"""

import numpy as np

FAILS = ()
RATE = np.float32(2.0)


def make(vocabulary):
    def score(tokens):
        weights = np.zeros((vocabulary, vocabulary), dtype=np.float32)
        bias, nats = np.zeros(vocabulary, dtype=np.float32), []
        for previous, token in zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True):
            logits = weights[previous] + bias
            logits -= logits.max()
            nats.append(np.log(np.exp(logits).sum()) - logits[token])
            step = -RATE * np.exp(logits) / np.exp(logits).sum()
            step[token] += RATE
            weights[previous] += step
            bias += np.float32(0.1) * step
        return np.array(nats, dtype=np.float32)

    return score
