"""Evidence: what the stages that run a part of a row saw of it, for the audit to judge.

A score is a code length if the model, the cache and the gate each keep the rules. Each is watched
where it runs anyway: the model by audit_model, the cache by audit_cache, the gate by mix_scores.
Their evidence is kept in .npz files, so that a changed gate asks neither model nor cache again.
All look at the same targets.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self, TypedDict

import numpy as np

from fairway.counting.counts import MatchDistributions, OrderDistributions
from fairway.counting.settings import CacheSettings
from fairway.files.arrays import TEXT, Layout, load_arrays, save_arrays
from fairway.files.spec import Count, Seed
from fairway.stage import StageError

VERSION = 1  # of the files
_LAYOUTS = {
    "targets": Layout("int64", ("targets",)),
    "changed": Layout("int64", ("changed",)),
    "stays": Layout("bool", ("changed",)),
    "spec": TEXT,
}
_CALIBRATION = Layout("float64", ("bins", 3))
_LARGEST_ERROR = 1e-3  # of the sum of a model's probabilities, which may be of any precision
_LEAST_MASS = 1e-300  # has a logarithm


class Sampling(TypedDict):
    """The part of the `audit` section that says which targets are looked at."""

    mass_targets: Count
    causality_targets: Count
    seed: Seed


class AuditTargets(NamedTuple):
    """Targets that the audit looks at, sorted, int64.

    sampled: where Z is summed over the vocabulary. changed: which are replaced, with everything
    after them, to see that nothing before depends on them.
    """

    sampled: np.ndarray
    changed: np.ndarray


def sample_targets(targets: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` different targets of 1 … targets, sorted; all of them if there are no more."""
    if count >= targets:
        return np.arange(1, targets + 1)
    return np.sort(generator.choice(targets, count, replace=False) + 1)


def audit_targets(settings: Sampling, targets: int) -> AuditTargets:
    """The targets of a text with `targets` of them."""
    generator = np.random.default_rng(settings["seed"])
    counts = settings["mass_targets"], settings["causality_targets"]
    return AuditTargets(*(sample_targets(targets, count, generator) for count in counts))


@dataclass(frozen=True)
class _Evidence:
    """One file of evidence; `load` refuses one about other targets, models or caches."""

    targets: np.ndarray
    changed: np.ndarray
    stays: np.ndarray
    spec: str

    def save(self, path: Path) -> None:
        """Write as .npz, atomically."""
        save_arrays(path, VERSION, **self.__dict__)

    @classmethod
    def _load(cls, path: Path, wanted: AuditTargets, layouts: dict[str, Layout]) -> Self:
        found = load_arrays(path, VERSION, **_LAYOUTS, **layouts)
        for name, expected in (("targets", wanted.sampled), ("changed", wanted.changed)):
            if not np.array_equal(found[name], expected):
                raise StageError(f"{path}: {name} are not those of this audit; make it again")
        return cls(**found)


@dataclass(frozen=True)
class ModelEvidence(_Evidence):
    """The model of one artifact.

    distributions: float64 (targets, vocabulary), of the model at each sampled target. stays: bool
    (changed,), whether the change left every score before it alone, bit for bit.
    """

    distributions: np.ndarray
    artifact_sha256: str

    @classmethod
    def load(cls, path: Path, wanted: AuditTargets, vocabulary: int) -> Self:
        """Read and check; raises StageError naming the file."""
        probabilities = Layout("float64", ("targets", vocabulary), 0.0, 1.0)
        found = cls._load(path, wanted, {"distributions": probabilities, "artifact_sha256": TEXT})
        off = float(np.abs(found.distributions.sum(axis=1) - 1).max())
        if off > _LARGEST_ERROR:
            raise StageError(f"{path}: distributions sum to 1 but for {off:g}; expected 1")
        return found

    @classmethod
    def uniform(cls, wanted: AuditTargets, vocabulary: int) -> Self:
        """Of the uniform distribution, which nothing changes."""
        stays = np.ones(len(wanted.changed), dtype=bool)
        distributions = np.full((len(wanted.sampled), vocabulary), 1 / vocabulary)
        return cls(*wanted, stays, "", distributions, "")


@dataclass(frozen=True)
class CacheEvidence(_Evidence):
    """One cache.

    orders, totals, hits, distinct: what it says of every token of the vocabulary at the sampled
    targets, as in `MatchDistributions` (distinct empty) or `OrderDistributions` (orders empty).
    stays: bool (changed,), whether the change left every count before it alone. kept: bool,
    whether looking left the tables as they were, one per hashed table and changed target.
    """

    orders: np.ndarray
    totals: np.ndarray
    hits: np.ndarray
    distinct: np.ndarray
    kept: np.ndarray

    @classmethod
    def of(
        cls,
        found: MatchDistributions | OrderDistributions,
        wanted: AuditTargets,
        stays: list[bool],
        kept: list[bool],
        spec: str,
    ) -> "CacheEvidence":
        """From what the cache says at the sampled targets."""
        arrays = {name: np.zeros(0, np.uint32) for name in ("orders", "distinct")}
        arrays |= found._asdict() | {"kept": np.array(kept, dtype=bool)}
        return cls(*wanted, np.array(stays, dtype=bool), spec, **arrays)

    @classmethod
    def load(cls, path: Path, wanted: AuditTargets, cache: CacheSettings, vocabulary: int) -> Self:
        """Read and check; raises StageError naming the file if it cannot be of the cache."""
        by_order = cache.output == "orders"
        contexts = ("targets", cache.orders) if by_order else ("targets",)
        none = Layout("uint32", (0,))
        layouts = {
            "orders": none if by_order else Layout("uint8", ("targets",), 0, cache.max_order),
            "totals": Layout("uint32", contexts),
            "hits": Layout("uint32", (*contexts, vocabulary)),
            "distinct": Layout("uint32", contexts) if by_order else none,
            "kept": Layout("bool", ("states",)),
        }
        found = cls._load(path, wanted, layouts)
        if not by_order and ((found.orders > 0) != (found.totals > 0)).any():
            raise StageError(f"{path}: occurrences without a match, or a match without any")
        if (found.hits > found.totals[..., None]).any():
            raise StageError(f"{path}: more hits than the context was seen at some target")
        return found

    def at(self, i: int) -> tuple:
        """The counts at the i-th sampled target as gates take them, hits of every token."""
        if self.distinct.size:
            return self.totals[i], self.hits[i], self.distinct[i]
        return self.orders[i], self.hits[i], self.totals[i]


@dataclass(frozen=True)
class RowEvidence(_Evidence):
    """One row and seed, seen while it was mixed; arrays (targets,) but for `kept` and `stays`.

    mass: Z. difference: nats between the score and −ln of the distribution known before the
    token. of_model: the same of the model's score. same_counts: whether the counts of the whole
    vocabulary hold the target's. kept: (states,), whether looking left the gate's state as it
    was, where that was checked. calibration: (bins, 3), sums of `witness.binned` over the targets.
    stays: bool (changed,), whether the change left all nats before it alone. model, cache: specs
    of the evidence that this one is built on, "" for no cache.
    """

    mass: np.ndarray
    difference: np.ndarray
    of_model: np.ndarray
    same_counts: np.ndarray
    kept: np.ndarray
    calibration: np.ndarray
    artifact_sha256: str
    model: str
    cache: str

    @classmethod
    def load(cls, path: Path, wanted: AuditTargets) -> Self:
        """Read and check; raises StageError naming the file."""
        nats = Layout("float64", ("targets",), low=0.0)
        layouts = {
            "mass": Layout("float64", ("targets",), low=_LEAST_MASS),
            "difference": nats,
            "of_model": nats,
            "same_counts": Layout("bool", ("targets",)),
            "kept": Layout("bool", ("states",)),
            "calibration": _CALIBRATION,
        }
        texts = dict.fromkeys(("artifact_sha256", "model", "cache"), TEXT)
        return cls._load(path, wanted, layouts | texts)

    @classmethod
    def load_calibration(cls, path: Path) -> np.ndarray:
        """`calibration` alone, of whatever targets; raises StageError naming the file."""
        return load_arrays(path, VERSION, calibration=_CALIBRATION)["calibration"]
