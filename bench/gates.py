"""Nanoseconds per target of every gate, against the same gate in plain numpy.

    python bench/gates.py
    python bench/gates.py --targets 8000000

One core. Match gates: the baseline is the rule written with numpy arrays. The empirical-Bayes gate
has no such form, since every target changes its state; its baseline is its own goal of 1,000 ns.
Counts are those of a made-up text with repeats, by the exact cache.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from fairway.corpus.shards import BOS
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets
from fairway.counting.counts import MatchCounts
from fairway.counting.order_counts import OrderCounts
from fairway.gates.bayes import BayesGate, TargetCounts
from fairway.gates.match import MatchGate, match_gate

VOCABULARY = 1024
BAYES_GOAL = 1000.0  # ns
GATES = {
    "fixed": {"kind": "fixed", "alpha": 0.3},
    "entropy": {"kind": "entropy", "threshold": 4.0},
    "order_adaptive": {
        "kind": "order_adaptive",
        "threshold_low_order": 4.5,
        "threshold_high_order": 2.5,
    },
}


def made_up_text(targets: int, generator: np.random.Generator) -> np.ndarray:
    """uint16 (targets + 1,): Zipf-like tokens, a third of them in phrases that come back."""
    ranks = np.minimum(generator.zipf(1.3, targets + 1), VOCABULARY - 1 - BOS)
    tokens = (BOS + ranks).astype(np.uint16)
    tokens[::500] = BOS
    for start in range(1000, targets - 30, 90):
        length = int(generator.integers(4, 30))
        source = int(generator.integers(0, start - length))
        tokens[start : start + length] = tokens[source : source + length]
    return tokens


def counts_of(tokens: np.ndarray, output: str) -> MatchCounts | OrderCounts:
    """The exact 15-gram cache at every target."""
    settings = {"kind": "exact", "max_order": 15, "output": output}
    targets = len(tokens) - 1
    plan = WindowPlan(targets, 256, 64)
    return count_targets(tokens, plan, 1, targets, CacheSettings.from_settings(settings))


def in_numpy(gate: MatchGate, nll, entropy, counts: MatchCounts) -> np.ndarray:
    """The rule of the match gates as a few array expressions."""
    threshold = gate.thresholds[counts.order]
    sigmoid = 1 / (1 + np.exp(-gate.slope * (entropy.astype(np.float64) - threshold)))
    alpha = gate.alpha_low + gate.alpha_span * sigmoid
    ngram = np.minimum(counts.hits, counts.total) / np.maximum(counts.total, 1)
    model = np.exp(-nll.astype(np.float64))
    mixed = np.maximum((1 - alpha) * model + alpha * ngram, gate.floor)
    return np.where(counts.order > 0, -np.log(mixed), nll)


def nanoseconds(work: Callable[[], object], targets: int) -> float:
    """Best of three runs, per target, in CPU time."""
    found = []
    for _ in range(3):
        start = time.process_time()
        work()
        found.append((time.process_time() - start) / targets * 1e9)
    return min(found)


def mix_orders(gate: BayesGate, tokens, nll, entropy, counts: OrderCounts) -> None:
    """Mix a whole text as it is streamed from packed counts."""
    state = gate.start()
    for first, *rows in counts.chunks():
        part = slice(first - 1, first - 1 + len(rows[0]))
        gate.nats(state, tokens[1:][part], nll[part], entropy[part], TargetCounts(*rows))


def report(name: str, found: float, baseline: float, what: str) -> None:
    """One line of the table."""
    ratio = baseline / found
    print(f"{name:16s} {found:8.1f} ns/target   {ratio:5.1f} x {what} ({baseline:.1f} ns)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--targets", type=int, default=1_000_000)
    targets = parser.parse_args().targets
    generator = np.random.default_rng(1)
    tokens = made_up_text(targets, generator)
    nll = generator.gamma(2.0, 1.5, targets).astype(np.float32)
    entropy = generator.uniform(0, 6, targets).astype(np.float32)
    matches = counts_of(tokens, "match")
    for name, settings in GATES.items():
        gate = match_gate(settings, 15, hashed=False)
        arrays = nll, entropy, matches.order, matches.hits, matches.total
        gate.nats(*(array[:9] for array in arrays))  # compiles
        found = nanoseconds(lambda gate=gate, arrays=arrays: gate.nats(*arrays), targets)
        plain = nanoseconds(lambda gate=gate: in_numpy(gate, nll, entropy, matches), targets)
        report(name, found, plain, "faster than numpy")
    orders, some = counts_of(tokens, "orders"), counts_of(tokens[:1001], "orders")
    for name, gate in (
        ("empirical_bayes", BayesGate(2, 15)),
        ("+ kin", BayesGate(2, 15, kin=True)),
    ):
        mix_orders(gate, tokens[:1001], nll, entropy, some)  # compiles
        found = nanoseconds(
            lambda gate=gate: mix_orders(gate, tokens, nll, entropy, orders), targets
        )
        report(name, found, BAYES_GOAL, "faster than the goal")


if __name__ == "__main__":
    main()
