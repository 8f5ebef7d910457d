"""A program, as in any language: shards of tokens in one folder, nats in another. Valid.

    python examples/scorers/bigram_program.py INPUTS/ OUTPUTS/ VOCABULARY

Many shards in a run, since starting costs more than scoring. A program for `{input}` and
`{output}` takes one shard a run.
"""

import sys
from pathlib import Path

import numpy as np
from network import Bigram

FAILS = ()


def score(tokens, vocabulary):
    network, nats = Bigram(vocabulary), []
    network.push(tokens[0])
    for token in tokens[1:]:
        nats.append(-np.log(network.distribution()[token]))
        network.push(token)
    return np.array(nats)


def main():
    inputs, outputs, vocabulary = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    for file in inputs.glob("*.bin"):
        tokens = np.fromfile(file, dtype="<u2", offset=1024).tolist()
        np.save(outputs / f"{file.stem}.npy", score(tokens, vocabulary))


if __name__ == "__main__":
    main()
