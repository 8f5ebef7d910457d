"""The record's rule: two hashed tables per order, pair count over context count. Invalid.

Buckets are shared, so pairs that never occurred find counts too: the mass over the vocabulary is
far above 1, and the score gets better as the tables get smaller. parameter-golf PR #796.
"""

import numpy as np
from network import Bigram

FAILS = ("normalised", "blind", "null", "collisions")
PRIMES = (36313, 27191, 51647, 81929, 131071)
ORDERS = (5, 4, 3, 2)


def make(vocabulary, table_size=64):
    def score(tokens):
        tokens, network, nats = tokens.tolist(), Bigram(vocabulary), []
        tables = {n: (np.zeros(table_size, int), np.zeros(table_size, int)) for n in ORDERS}
        network.push(tokens[0])
        for j in range(1, len(tokens)):
            p_model = network.distribution()
            entropy = -(p_model * np.log(p_model)).sum()
            p = p_model[tokens[j]]
            slots = {}
            for n in ORDERS:
                if j >= n - 1:
                    key = 0
                    for k in range(n - 1):
                        key ^= tokens[j - n + 1 + k] * PRIMES[k]
                    pair = key ^ tokens[j] * PRIMES[n - 1]
                    slots[n] = key % table_size, pair % table_size
            for n, (context, pair) in slots.items():
                seen, followed = tables[n][0][context], tables[n][1][pair]
                if seen >= 2:
                    gate = 0.05 + 0.55 / (1 + np.exp(-2 * (entropy - 4)))
                    p = (1 - gate) * p + gate * min(followed, seen) / seen
                    break
            nats.append(-np.log(np.clip(p, 1e-12, 1)))
            for n, (context, pair) in slots.items():
                tables[n][0][context] += 1
                tables[n][1][pair] += 1
            network.push(tokens[j])
        return np.array(nats)

    return score
