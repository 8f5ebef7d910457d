"""A small text with repeats, a made-up model's scores of it, and its exact counts."""

import numpy as np

from fairway.corpus.shards import BOS
from fairway.corpus.windows import WindowPlan
from fairway.counting.caches import CacheSettings, count_targets
from fairway.counting.segments import NO_MEMORY
from fairway.gates.bayes import TargetCounts

VOCABULARY = 6
CACHE = {
    "kind": "exact",
    "output": "orders",
    "min_order": 2,
    "max_order": 4,
    "update": "token",
}


def text(length: int, seed: int = 0, vocabulary: int = VOCABULARY) -> np.ndarray:
    """uint16 (length + 1,): phrases that repeat, other tokens and a BOS now and then."""
    generator = np.random.default_rng(seed)
    phrases = [generator.integers(2, vocabulary, 7) for _ in range(4)]
    parts = [[BOS]]
    while sum(map(len, parts)) <= length:
        parts.append(phrases[generator.integers(4)])
        parts.append(generator.integers(1, vocabulary, 2))
    return np.concatenate(parts)[: length + 1].astype(np.uint16)


def documents(length: int, seed: int = 0) -> np.ndarray:
    """uint16 (length + 1,): documents that are runs of one phrase, with a token changed."""
    generator, parts = np.random.default_rng(seed), []
    phrase = np.random.default_rng(7).integers(2, VOCABULARY, 90)
    while sum(map(len, parts)) <= length:
        size = int(generator.integers(12, 40))
        begin = int(generator.integers(0, 90 - size))
        own = phrase[begin : begin + size].copy()
        own[generator.integers(size)] = generator.integers(2, VOCABULARY)
        parts.append([BOS, *own])
    return np.concatenate(parts)[: length + 1].astype(np.uint16)


def model_scores(
    tokens: np.ndarray, seed: int = 1, vocabulary: int = VOCABULARY
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A made-up model's distributions (targets, vocabulary), nll and entropy (targets,)."""
    generator = np.random.default_rng(seed)
    model = generator.dirichlet(np.ones(vocabulary), len(tokens) - 1)
    nll = -np.log(model[np.arange(len(model)), tokens[1:]])
    return model, nll, -(model * np.log(model)).sum(axis=1)


def plan_of(tokens: np.ndarray) -> WindowPlan:
    """Windows over the whole text."""
    return WindowPlan(len(tokens) - 1, min(16, len(tokens) - 1), 8)


def order_counts(
    tokens: np.ndarray, cache: dict = CACHE, memory: np.ndarray = NO_MEMORY
) -> TargetCounts:
    """The exact counts at every target."""
    settings = CacheSettings.from_settings(cache | ({"memory": "m"} if len(memory) else {}))
    last = len(tokens) - 1
    counts = count_targets(tokens, plan_of(tokens), 1, last, settings, memory=memory)
    chunks = [[array.copy() for array in chunk[1:]] for chunk in counts.chunks()]
    return TargetCounts(*map(np.concatenate, zip(*chunks, strict=True)))


def rows(counts: TargetCounts, part: slice | int) -> TargetCounts:
    """The counts at some targets, numbered from 0."""
    return TargetCounts(*(array[part] for array in counts))
