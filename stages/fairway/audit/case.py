"""One scorer on one text: what all checks of it start from, and what a check finds."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fairway.audit.checks import first_moved
from fairway.audit.samples import Sample, draw_sample
from fairway.audit.sandbox import ScorerFailure
from fairway.audit.scorers import Subject
from fairway.audit.texts import ScoredText

OK, FAILED, NOT_CHECKED, SKIPPED = "ok", "failed", "not checked", "skipped"
_MASS_TARGETS = {"predictor": 16, "scorer": 4, "program": 2}  # of each kind in a sample
_TOLD = 16  # the same, where a black box tells its distribution


@dataclass(frozen=True)
class CheckSettings:
    """How much of a scorer is checked.

    mass_targets: of each kind in a sample, None for as many as this kind of scorer has time for.
    changed_targets: of each kind, after which the text is changed and cut. null_tokens: None for
    ten times the vocabulary, at least 2,000. decoded_targets: from the first. rounding: nats by
    which a target may differ in a text of another length, since matrix products round otherwise.
    """

    mass_targets: int | None = None
    changed_targets: int = 8
    null_tokens: int | None = None
    decoded_targets: int = 500
    rounding: float = 1e-4
    seed: int = 1


@dataclass(frozen=True)
class Finding:
    """What a check found: outcome, a line in words, figures, the first target at fault."""

    outcome: str
    found: str
    figures: dict[str, Any] = field(default_factory=dict)
    target: int | None = None
    seconds: float = 0.0


def judged(ok: bool, found: str, target: int | None = None, **figures: Any) -> Finding:
    """A finding of a check that could be made."""
    return Finding(OK if ok else FAILED, found, figures, None if ok else target)


@dataclass
class Case:
    """A scorer, a text, and its nats there: float64, one per target if it is `assigned`.

    seconds: what a run takes; say: takes a line for whoever waits.
    """

    subject: Subject
    text: ScoredText
    settings: CheckSettings
    say: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        start = time.monotonic()
        self.nats = next(iter(self.subject.nats([self.text.tokens])))
        self.seconds = time.monotonic() - start

    @property
    def traits(self) -> Any:
        return self.subject.traits

    @property
    def assigned(self) -> bool:
        """Whether there are as many numbers as targets, so that it is known which is whose."""
        return len(self.nats) == self.text.targets

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.settings.seed)

    def sample(self, count: int) -> Sample:
        """`count` targets at random and `count` suspects; never the last target."""
        return draw_sample(
            self.text.tokens, self.nats[:-1], self.text.vocabulary, count, self.generator()
        )

    @cached_property
    def mass_sample(self) -> Sample:
        """Targets at which mass is measured."""
        told = _TOLD if self.traits.tells_distribution else _MASS_TARGETS[self.traits.kind]
        return self.sample(self.settings.mass_targets or told)

    @cached_property
    def walk(self) -> tuple[np.ndarray, np.ndarray, int]:
        """A predictor's nats and mass of all targets, asked twice at each; see the worker."""
        answer, (nats, mass) = self.subject.one("walk", self.text.tokens, twice=True)
        return nats, mass, answer["changed"]

    def at(self, target: int) -> str:
        """A target and its token, in words."""
        return f"target {target} ({self.text.shown(target)})"

    def prefixes(
        self, texts: Iterable[np.ndarray], together: bool = False
    ) -> Iterable[np.ndarray]:
        """Nats of texts; ScorerFailure unless there is one for every target."""
        sizes: list[int] = []

        def handed() -> Iterable[np.ndarray]:
            for text in texts:
                sizes.append(len(text) - 1)
                yield text

        for index, nats in enumerate(self.subject.nats(handed(), together)):
            if len(nats) != sizes[index]:
                raise ScorerFailure(f"returned {len(nats)} numbers for {sizes[index]} targets")
            yield nats


def moved(found: np.ndarray, again: np.ndarray) -> int | None:
    """The first target (from 1) whose number is not the same bit for bit; float64 arrays."""
    index = first_moved(found.view(np.int64), again.view(np.int64))
    return None if index is None else index + 1
