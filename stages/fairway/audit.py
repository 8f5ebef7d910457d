"""Is a row's score a code length? The checks, by running the code that scores.

normalised            Z = Σ_v p(v) over the vocabulary is 1 at sampled targets
causal                a change of x_j and all after it changes nothing before, bit for bit
score_before_update   x_j is scored by what was known before it, and looking changes no state
once_each             every target is scored once over all ranks, and the bytes are the text's
null_stream           tokens drawn uniformly cost at least log2(vocabulary) bits each

Conditions of a valid score as in parameter-golf issue #1017: p_t depends on the artifact and the
tokens before t alone, sums to 1, is fixed before x_t is looked at, and each token is scored once.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fairway.counts import MatchDistributions, OrderDistributions
from fairway.row_gate import Counts, Piece, RowGate, pieces
from fairway.scores import Scores
from fairway.windows import WindowPlan

ScoreWindows = Callable[[np.ndarray, Sequence[int]], tuple[np.ndarray, np.ndarray]]
CountTargets = Callable[[np.ndarray, int, int], Counts]
Distributions = MatchDistributions | OrderDistributions
CountVocabulary = Callable[[np.ndarray, np.ndarray], Distributions]


@dataclass(frozen=True)
class RowCode:
    """The code that scores a row, as functions, so that a broken part can be put in its place.

    count(tokens, first, last): the cache's counts of targets first … last; count_all(tokens,
    targets): of the whole vocabulary; both None without a cache. vocabulary: number of tokens.
    """

    plan: WindowPlan
    vocabulary: int
    gate: RowGate
    count: CountTargets | None
    count_all: CountVocabulary | None


@dataclass(frozen=True)
class Shards:
    """One seed's score shards and the row's count shards, by rank; counts all None without."""

    scores: Sequence[Scores]
    counts: Sequence[Counts]

    def walk(self, gate: RowGate, tokens: np.ndarray, cuts: Sequence[int] = ()) -> Iterator:
        """Every piece in order with the gate's state before it; take its nats to move on."""
        state = gate.start()
        for scores, counts in zip(self.scores, self.counts, strict=True):
            for piece in pieces(scores, counts, cuts):
                yield state, piece, tokens[piece.first_target :][: len(piece.nll)]


class Samples(NamedTuple):
    """What was found at sampled targets of one seed, arrays (targets,).

    mass: Z. difference: nats between the score and −ln of the distribution known before the
    token; of_model: the same of the model's score. same_counts: whether the counts of the whole
    vocabulary hold the target's. kept: whether looking left the gate's state as it was.
    """

    mass: np.ndarray
    difference: np.ndarray
    of_model: np.ndarray
    same_counts: np.ndarray
    kept: np.ndarray


def sample_targets(targets: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` different targets of 1 … targets, sorted; all of them if there are no more."""
    if count >= targets:
        return np.arange(1, targets + 1)
    return np.sort(generator.choice(targets, count, replace=False) + 1)


def sample_row(
    code: RowCode,
    tokens: np.ndarray,
    shards: Shards,
    targets: np.ndarray,
    model: np.ndarray,
    found: Distributions | None,
) -> Samples:
    """Walk over the text and look at the whole distribution before each sampled target.

    model: the model's distributions there, (targets, vocabulary); found: the counts.
    """
    place = {int(target): i for i, target in enumerate(targets)}
    samples = Samples(*np.zeros((3, len(targets))), *np.zeros((2, len(targets)), dtype=bool))
    for state, piece, seen in shards.walk(code.gate, tokens, list(place)):
        i = place.get(piece.first_target)
        if i is not None:
            token, before = int(seen[0]), code.gate.digest(state)
            counts = _counts_at(found, i)
            samples.mass[i] = code.gate.distribution(
                state, model[i], piece.entropy[0], counts
            ).sum()
            samples.of_model[i] = abs(piece.nll[0] + np.log(model[i, token]))
            scored = model[i].copy()  # with the score's own digits, rounded to float32
            scored[token] = np.exp(-np.float64(piece.nll[0]))
            own = code.gate.distribution(state, scored, piece.entropy[0], counts)[token]
            samples.kept[i] = code.gate.digest(state) == before
            samples.same_counts[i] = _same_counts(counts, piece, token)
        nats = code.gate.nats(state, seen, piece)
        if i is not None:
            samples.difference[i] = abs(nats[0] + np.log(own))
    return samples


def _counts_at(found: Distributions | None, i: int) -> tuple | None:
    """The counts at the i-th sampled target as gates take them."""
    if found is None:
        return None
    if isinstance(found, MatchDistributions):
        return int(found.orders[i]), found.hits[i], int(found.totals[i])
    return found.totals[i], found.hits[i], found.distinct[i]


def _same_counts(counts: tuple | None, piece: Piece, token: int) -> bool:
    if counts is None:
        return True
    first, hits, last = counts
    return all(
        np.array_equal(whole, scored[0])
        for whole, scored in zip((first, hits[..., token], last), piece.counts, strict=True)
    )


def changed_tail(
    tokens: np.ndarray, target: int, vocabulary: int, generator: np.random.Generator
) -> np.ndarray:
    """A copy of the text in which x_target and every later token is another one."""
    changed = np.array(tokens, dtype=np.uint16)
    shift = generator.integers(1, vocabulary, len(tokens) - target)
    changed[target:] = (changed[target:] + shift) % vocabulary
    return changed


def causes_before(
    code: RowCode,
    score: ScoreWindows,
    tokens: np.ndarray,
    shards: Shards,
    target: int,
    generator: np.random.Generator,
) -> list[str]:
    """Which parts (scoring, counting, mixing) let x_target and what follows change the past.

    score(tokens, window indices): the model's nll and entropy of those windows' targets.
    Everything at targets up to `target` must stay the same bit for bit, but for the nll, the hits
    and the nats of the target itself.
    """
    changed = changed_tail(tokens, target, code.vocabulary, generator)
    rank = _rank_of(shards, target)
    first = shards.scores[rank].first_target
    last = first + len(shards.scores[rank].nll) - 1
    counts = code.count(changed, first, last) if code.count else None
    found = {
        "scoring": _scores_stay(code.plan, score, tokens, changed, target),
        "counting": counts is None or _counts_stay(shards, rank, counts, target),
        "mixing": _nats_stay(code, tokens, changed, shards, rank, counts, target),
    }
    return [part for part, stays in found.items() if not stays]


def _rank_of(shards: Shards, target: int) -> int:
    firsts = [scores.first_target for scores in shards.scores]
    return int(np.searchsorted(firsts, target, side="right")) - 1


def _scores_stay(plan: WindowPlan, score: ScoreWindows, tokens, changed, target: int) -> bool:
    """Score again, with and without the change, the windows that hold the target's position."""
    lowest = max(0, -(-(target - plan.length) // plan.stride))
    windows = range(lowest, min(target // plan.stride, len(plan) - 1) + 1)
    before = target - plan.window(windows[0]).first_target  # targets below the changed one
    (nll, entropy), (nll_changed, entropy_changed) = (
        score(text, windows) for text in (tokens, changed)
    )
    nll_stays = np.array_equal(nll[:before], nll_changed[:before])
    return nll_stays and np.array_equal(entropy[: before + 1], entropy_changed[: before + 1])


def _counts_stay(shards: Shards, rank: int, counts: Counts, target: int) -> bool:
    """Compare the stored counts with those of the changed text, up to the target."""
    scores = shards.scores[rank]
    pairs = zip(
        pieces(scores, shards.counts[rank], [target, target + 1]),
        pieces(scores, counts, [target, target + 1]),
        strict=True,
    )
    for stored, found in pairs:
        if stored.first_target > target:
            break
        context = (0, 2)  # of (order, hits, total) and (totals, hits, distinct): not the hits
        compared = context if stored.first_target == target else (0, 1, 2)
        if not all(np.array_equal(stored.counts[k], found.counts[k]) for k in compared):
            return False
    return True


def _nats_stay(code: RowCode, tokens, changed, shards: Shards, rank, counts, target) -> bool:
    """Mix up to the target's rank twice, the second time with another target and future."""
    scores = shards.scores[rank]
    at = target - scores.first_target
    nll, entropy = scores.nll.copy(), scores.entropy.copy()
    nll[at:] = nll[at:][::-1] + 1
    entropy[at + 1 :] = entropy[at + 1 :][::-1] + 1
    other = replace(scores, nll=nll, entropy=entropy)
    stored = Shards(shards.scores[: rank + 1], shards.counts[: rank + 1])
    futures = Shards([*shards.scores[:rank], other], [*shards.counts[:rank], counts])
    return all(
        np.array_equal(a, b)
        for a, b in zip(
            _nats_before(code.gate, tokens, stored, target),
            _nats_before(code.gate, changed, futures, target),
            strict=True,
        )
    )


def _nats_before(gate: RowGate, tokens, shards: Shards, target: int) -> Iterator[np.ndarray]:
    """Nats of the targets before `target`, whose own piece and the rest are mixed all the same."""
    for state, piece, seen in shards.walk(gate, tokens):
        nats = gate.nats(state, seen, piece)
        yield nats[: max(0, target - piece.first_target)]


def null_stream_nats(code: RowCode, count: CountTargets | None, tokens: np.ndarray) -> np.ndarray:
    """Nats of every target of a text of uniformly drawn tokens under a uniform model.

    count: as in RowCode, but for this text (and hashed tables of the same load).
    """
    targets = len(tokens) - 1
    uniform = np.full(targets, math.log(code.vocabulary), dtype=np.float32)
    scores = Scores(1, uniform, uniform, "", "")
    shards = Shards([scores], [count(tokens, 1, targets) if count else None])
    walk = shards.walk(code.gate, tokens)
    return np.concatenate([code.gate.nats(state, seen, piece) for state, piece, seen in walk])
