"""The empirical-Bayes gate: recursive Dirichlet backoff with the neural model as base measure.

    p_0 = the model,   p_l(v) = (hits_l(v) + κ_l·p_{l−1}(v)) / (total_l + κ_l),   l = 1 … levels

A level is a count of what followed the last n−1 tokens. Orders run from low to high, and within
an order from the whole text to the current document:

    order 1 … continuation_orders    by continuation over the text (Kneser and Ney, 1995)
    the orders above                 the exact cache's counts
    order 1 … document_orders        counts of the current document

Levels without counts are left out. The concentration κ_l > 0 is the total times exp(−s_l), where
s_l adds up one learned weight per feature of the context: (total, distinct successors), entropy
of the model, how long the matches are, how much this level and the whole gate helped lately.
Weights follow the gradient of the past log-losses (AdaGrad, Duchi et al. 2011): p before target j
depends on the tokens before j alone and no feature depends on the target, so Σ_v p(v) = 1 by
construction. Hierarchical Dirichlet language models: MacKay and Peto (1995); weights learned
online per context: Mahoney's PAQ.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fairway.bayes_kernels import (
    FEATURES,
    LENGTHS_AT,
    Learned,
    Levels,
    distribution_at,
    mix_targets,
)
from fairway.gate_settings import BayesSettings
from fairway.successors import SuccessorTree, new_tree, with_room

CHUNK = 2048  # targets mixed before the trees are given more room
_START_WEIGHT = -2.0  # κ = 7.4 · total before anything is learned
_START_SQUARE = 0.01  # AdaGrad's sum of squared gradients at the start


@dataclass
class BayesState:
    """All that the gate carries from target to target; see `Learned` and `SuccessorTree`.

    levels: never change; text, document: are replaced by larger ones as they fill.
    """

    levels: Levels
    learned: Learned
    text: SuccessorTree
    document: SuccessorTree

    def digest(self) -> str:
        """SHA-256 of the state: equal states give equal probabilities."""
        digest = hashlib.sha256()
        for array in self.learned:
            digest.update(array.tobytes())
        for tree in (self.text, self.document):
            for part in tree.content():
                digest.update(part)
        return digest.hexdigest()


class TargetCounts(NamedTuple):
    """The exact cache's counts: uint32 (targets, orders), orders from low to high."""

    totals: np.ndarray
    hits: np.ndarray
    distinct: np.ndarray


class BayesGate(BayesSettings):
    """The gate with its settings; nothing is kept here but in the states it gives."""

    def start(self) -> BayesState:
        """The state before the first target."""
        levels = self._levels()
        count = len(levels.text) + len(levels.cache) + len(levels.document)
        lengths = (self.max_order + 1) * (self.document_orders + 1)
        weights = np.zeros((count, LENGTHS_AT + lengths, 2))
        weights[:, : FEATURES[1], 0] = _START_WEIGHT
        weights[:, :, 1] = _START_SQUARE
        learned = Learned(weights, np.zeros(count), np.zeros(2))
        trees = new_tree(self.continuation_orders), new_tree(self.document_orders)
        return BayesState(levels, learned, *trees)

    def nats(
        self,
        state: BayesState,
        tokens: np.ndarray,
        nll: np.ndarray,
        entropy: np.ndarray,
        counts: TargetCounts,
    ) -> np.ndarray:
        """Score the next targets, float64 nats (targets,), and learn from each once scored.

        tokens: x_j of those targets, (targets,); nll, entropy: of the model, nats, (targets,);
        counts: at those targets. state is moved on.
        """
        nats = np.empty(len(tokens))
        for start in range(0, len(tokens), CHUNK):
            part = slice(start, start + CHUNK)
            size = len(tokens[part])
            state.text = with_room(state.text, size)
            state.document = with_room(state.document, size)
            mix_targets(
                tokens[part], nll[part], entropy[part], tuple(array[part] for array in counts),
                state.levels, state.learned, (state.text, state.document),
                self.learning_rate, self._new_column, nats[part],
            )  # fmt: skip
        return nats

    def full_distribution(
        self, state: BayesState, model: np.ndarray, entropy: float, counts: TargetCounts
    ) -> np.ndarray:
        """p(v) of the next target over the vocabulary, float64; the state stays as it is.

        model: the model's probabilities (vocabulary,); counts: totals and distinct (orders,),
        hits (orders, vocabulary), at that target.
        """
        mixed = np.empty(len(model))
        rows = counts.totals[None], counts.hits, counts.distinct[None]
        distribution_at(
            model, entropy, rows, state.levels, state.learned,
            (state.text, state.document), mixed,
        )  # fmt: skip
        return mixed

    @property
    def _new_column(self) -> int:
        """Column of the order whose hits say whether a gram is new to continuation counts."""
        return self.continuation_orders + 1 - self.min_order if self.continuation_orders else 0

    def _levels(self) -> Levels:
        """Order by order from low to high, the text before the document."""
        places = {"text": [], "document": [], "cache": []}
        level = 0
        for order in range(1, max(self.max_order, self.document_orders) + 1):
            for source, holds in (
                ("text", order <= self.continuation_orders),
                ("cache", self._first_cache_order <= order <= self.max_order),
                ("document", order <= self.document_orders),
            ):
                if holds:
                    places[source].append(level)
                    level += 1
        places["first_column"] = [self._first_cache_order - self.min_order]
        return Levels(**{name: np.array(found, np.int64) for name, found in places.items()})

    @property
    def _first_cache_order(self) -> int:
        return max(self.min_order, self.continuation_orders + 1)
