"""A sweep's thousand settings of a match gate, beside mixing them one after the other.

    python bench/sweeps.py
    python bench/sweeps.py --targets 20000         # quick

Made-up targets with real counts, as bench/gates.py has them. The baseline is `MatchGate.nats`, the
function that mixes a row, called for each setting in turn; it is run for some and multiplied. Both
must give the same sums to 1e-12.
"""

import argparse
import itertools
import time

import numpy as np
from gates import counts_of, made_up_text

from fairway.gates.match import match_gate
from fairway.gates.match_grid import summed_nats

TIMED = 16  # settings that the baseline is run for
REPEATS = 3
TOLERANCE = 1e-12  # relative


def settings(number: int) -> list[dict]:
    """number² settings of an order-adaptive gate."""
    axis = np.linspace(0, 8, number).tolist()
    keys = ("threshold_low_order", "threshold_high_order")
    return [{"kind": "order_adaptive", **dict(zip(keys, pair, strict=True))}
            for pair in itertools.product(axis, axis)]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--targets", type=int, default=500_000)
    parser.add_argument("--side", type=int, default=32, help="values of each of two numbers")
    options = parser.parse_args()
    generator = np.random.default_rng(1)
    tokens = made_up_text(options.targets, generator)
    nll = generator.gamma(2.0, 1.5, options.targets).astype(np.float32)
    entropy = generator.uniform(0, 6, options.targets).astype(np.float32)
    counts = counts_of(tokens, "match")
    gates = [match_gate(found, 15, hashed=False) for found in settings(options.side)]
    arrays = nll, entropy, counts.order, counts.hits, counts.total
    few = tuple(array[:100] for array in arrays)
    summed_nats(gates[:1], *few)  # compiles
    gates[0].nats(*few)
    start = time.perf_counter()
    one_by_one = [float(gate.nats(*arrays).sum()) for gate in gates[:TIMED]]
    baseline = (time.perf_counter() - start) / len(one_by_one) * len(gates)
    share = float((counts.order > 0).mean())
    print(f"{len(gates):,} settings, {options.targets:,} targets, {share:.0%} of them matched")
    print(f"one after the other: {baseline:.1f} s (from {len(one_by_one)} of them)")
    for threads in (1, 2):
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            sums = summed_nats(gates, *arrays, threads)
            seconds.append(time.perf_counter() - start)
        off = float(np.abs(sums[: len(one_by_one)] / one_by_one - 1).max())
        if off > TOLERANCE:
            raise RuntimeError(f"sums differ by {off:g}; expected at most {TOLERANCE:g}")
        print(f"{threads} thread(s): {min(seconds):.1f} s, {baseline / min(seconds):.1f} times as "
              f"fast, sums the same to {off:.0e}")  # fmt: skip


if __name__ == "__main__":
    main()
