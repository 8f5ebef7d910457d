"""The mass over the whole vocabulary that a scorer gives at some targets.

A predictor shows its distributions. A black box may tell one, `distribution(prefix)`: then it is
asked with nothing but the prefix, and must give the token that came what the score gave it. Else
every token v is put in the place of the last target of a prefix, and Z = Σ exp(−nats).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fairway.audit.case import Case, moved
from fairway.progress import Progress


class Masses(NamedTuple):
    """mass: Z at each target (targets,), NaN for a probability below 0.

    differences: nats between the score and what was summed, (targets,), 0 where that is the same
    function's. moved: the first target whose number depends on a later token, and that token's
    target; None if none.
    """

    targets: np.ndarray
    mass: np.ndarray
    differences: np.ndarray
    moved: tuple[int, int] | None = None


def masses(case: Case, targets: np.ndarray) -> Masses:
    """Z at some targets, in the way that the scorer allows."""
    if case.traits.kind == "predictor":
        mass = case.walk[1][targets - 1]
        return Masses(targets, mass, np.zeros(len(mass)))
    count, seconds = runs(case, targets)
    case.say(f"{len(targets)} targets, {count:,} runs of the scorer: about {seconds:,.0f} s")
    return (_told if case.traits.tells_distribution else _substituted)(case, targets)


def runs(case: Case, targets: np.ndarray) -> tuple[int, float]:
    """How many runs of a black box that takes, and about how many seconds."""
    each = 1 if case.traits.tells_distribution else case.text.vocabulary
    share = float(targets.sum()) / case.text.targets
    return each * len(targets), each * share * case.seconds / case.subject.jobs


def _told(case: Case, targets: np.ndarray) -> Masses:
    mass, differences = [], []
    for target in targets.tolist():
        _, (p,) = case.subject.one("after", case.text.tokens[:target])
        mass.append(p.sum() if p.min() >= 0 else np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            told = -np.log(p[case.text.tokens[target]])
        differences.append(_difference(case, target, told))
    return Masses(targets, np.array(mass), np.array(differences))


def _substituted(case: Case, targets: np.ndarray) -> Masses:
    vocabulary = case.text.vocabulary
    progress = Progress(vocabulary * len(targets), "runs")
    mass, differences, first = [], [], None
    for target in targets.tolist():
        p, before = np.empty(vocabulary), None
        for token, nats in enumerate(case.prefixes(_in_place(case, target), True)):
            before = nats[:-1] if before is None else before
            place = moved(before, nats[:-1])
            if first is None and place is not None:
                first = place, target
            if token == case.text.tokens[target] and case.traits.batches:
                differences.append(_difference(case, target, nats[-1]))
            with np.errstate(over="ignore"):
                p[token] = np.exp(-nats[-1])
            progress.update(1)
        mass.append(p.sum())
    progress.close()
    return Masses(targets, np.array(mass), np.array(differences or [0.0] * len(mass)), first)


def _difference(case: Case, target: int, nats: float) -> float:
    """Nats between the score of a target and another number for it."""
    score = case.nats[target - 1]
    return 0.0 if nats == score else abs(nats - score)


def _in_place(case: Case, target: int) -> Iterator[np.ndarray]:
    """The text up to a target, with every token of the vocabulary as the target's."""
    for token in range(case.text.vocabulary):
        prefix = case.text.tokens[: target + 1].copy()
        prefix[target] = token
        yield prefix
