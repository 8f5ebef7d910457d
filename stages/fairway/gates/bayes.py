"""The empirical-Bayes gate: recursive Dirichlet backoff with the neural model as base measure.

    p_0 = the model,   p_l(v) = (hits_l(v) + κ_l·p_{l−1}(v)) / (total_l + κ_l),   l = 1 … levels

A level is a count of what followed the last n−1 tokens. Orders run from low to high, and within
an order from the whole text to the current document:

    order 1 … continuation_orders    by continuation over the text (Kneser and Ney, 1995)
    the orders above                 the exact cache's counts
    orders 2 and 3, with kin         counts of earlier documents that share tokens with this one
    order 1 … document_orders        counts of the current document

Behind a memory the text's counts begin with it; the document is a new one, and the weights know
nothing yet.

Levels without counts are left out. The concentration κ_l > 0 is the total times exp(−s_l), where
s_l adds up one learned weight per feature of the context: (total, distinct successors), entropy
of the model, how long the matches are, how much this level and the whole gate helped lately.
Weights follow the gradient of the past log-losses (AdaGrad, Duchi et al. 2011): p before target j
depends on the tokens before j alone and no feature depends on the target, so Σ_v p(v) = 1 by
construction. Hierarchical Dirichlet language models: MacKay and Peto (1995); weights learned
online per context: Mahoney's PAQ.

The nearest ancestor is PPM-DP (Steinruecken, Ghahramani and MacKay, Improving PPM with dynamic
parameter updates, DCC 2015): there too orders are blended by a Dirichlet rule in place of escapes,
and its parameters, one set per order and number of distinct successors, follow the gradient of
what was coded. New here: the base is a neural model and not the uniform distribution; levels of
the current document, and of earlier ones that it meets (`fairway.gates.kin_counts`), stand between
those of the text; and κ is a function of several features of the context, each with weights of its
own, instead of one parameter per class of contexts.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fairway.corpus.shards import BOS
from fairway.counting.segments import NO_MEMORY
from fairway.gates.bayes_counts import BLOCK, Block, Levels, Trees, new_block, new_levels
from fairway.gates.bayes_kernels import (
    FEATURES,
    LENGTHS_AT,
    Learned,
    Workspace,
    distribution_at,
    mix_targets,
    new_workspace,
)
from fairway.gates.document_counts import fitted, new_document
from fairway.gates.kin_counts import fitted_kin, new_kin
from fairway.gates.kin_grams import KIN_ORDERS
from fairway.gates.settings import BayesSettings
from fairway.gates.successors import tree_of, with_room

CHUNK = 8192  # targets mixed before the text's tree is given more room
_START_WEIGHT = -2.0  # κ = 7.4 · total before anything is learned
_START_SQUARE = 0.01  # AdaGrad's sum of squared gradients at the start


@dataclass
class BayesState:
    """All that the gate carries from target to target; see `Learned` and `Trees`.

    levels: never change; trees: are replaced by larger ones as they fill; scratch: holds nothing
    from call to call.
    """

    levels: Levels
    learned: Learned
    trees: Trees
    scratch: tuple[Block, Workspace]

    def digest(self) -> str:
        """SHA-256 of the state: equal states give equal probabilities."""
        digest = hashlib.sha256()
        for array in self.learned:
            digest.update(array.tobytes())
        for tree in self.trees:
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

    def start(self, memory: np.ndarray = NO_MEMORY) -> BayesState:
        """The state before the first target of a text behind a memory, uint16 (tokens,)."""
        levels = self._levels()
        lanes = len(levels.numbers)
        lengths = (self.max_order + 1) * (self.document_orders + 1)
        weights = np.zeros((LENGTHS_AT + lengths, lanes), dtype=np.float32)
        weights[: FEATURES[1]] = _START_WEIGHT
        squares = np.full_like(weights, _START_SQUARE)
        learned = Learned(weights, squares, np.zeros(lanes, dtype=np.float32), np.zeros(2))
        scratch = new_block(BLOCK, lanes), new_workspace(lanes)
        seen = np.append(memory, np.uint16(BOS)) if len(memory) else memory
        text = tree_of(seen, self.continuation_orders, levels.text, scratch[0])
        trees = Trees(
            text, new_kin(seen if self.kin else NO_MEMORY), new_document(self.document_orders)
        )
        return BayesState(levels, learned, trees, scratch)

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
        start = 0
        while start < len(tokens):
            part = slice(start, start + CHUNK)
            text, kin, document = state.trees
            state.trees = Trees(
                with_room(text, len(tokens[part])),
                fitted_kin(kin, len(tokens[part]), BLOCK) if self.kin else kin,
                fitted(document, BLOCK),
            )
            start += mix_targets(
                tokens[part], nll[part], entropy[part], tuple(array[part] for array in counts),
                state.levels, state.learned, state.trees, state.scratch,
                self.learning_rate, nats[part],
            )  # fmt: skip
        return nats

    def full_distribution(
        self, state: BayesState, model: np.ndarray, entropy: float, counts: TargetCounts
    ) -> np.ndarray:
        """p(v) of the next target over the vocabulary, float64; the state stays as it is.

        model: the model's probabilities (vocabulary,); counts: totals and distinct (orders,),
        hits (orders, vocabulary), at that target.
        """
        mixed = np.array(model, dtype=np.float64)
        rows = counts.totals[None], counts.hits, counts.distinct[None]
        distribution_at(
            entropy, rows, state.levels, state.learned, state.trees, state.scratch,
            np.empty(len(model), dtype=np.uint32), mixed,
        )  # fmt: skip
        return mixed

    def _levels(self) -> Levels:
        """Order by order from low to high, the text before the document."""
        places = {"text": [], "kin": [], "document": [], "cache": []}
        level = 0
        for order in range(1, max(self.max_order, *KIN_ORDERS, self.document_orders) + 1):
            for source, holds in (
                ("text", order <= self.continuation_orders),
                ("cache", self._first_cache_order <= order <= self.max_order),
                ("kin", self.kin and order in KIN_ORDERS),
                ("document", order <= self.document_orders),
            ):
                if holds:
                    places[source].append(level)
                    level += 1
        above = self.continuation_orders + 1 - self.min_order
        return new_levels(
            places,
            first_column=self._first_cache_order - self.min_order,
            new_column=above if self.continuation_orders else 0,
        )

    @property
    def _first_cache_order(self) -> int:
        return max(self.min_order, self.continuation_orders + 1)
