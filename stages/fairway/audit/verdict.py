"""What the audit of a row found, as it is written: figures, checks and the verdict."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fairway.audit.evidence import CacheEvidence, ModelEvidence, RowEvidence
from fairway.corpus.manifest import ValText
from fairway.rows.sums import Sums
from fairway.stage import StageError

LARGEST_DEVIATION = 1e-9  # of Z from 1
LARGEST_DIFFERENCE = 1e-9  # nats between a score and the distribution before it; rounding
MODEL_DIFFERENCE = 0.05  # mean nats between stored scores and the model run again in float32
STANDARD_ERRORS = 4.0  # by which a null stream may be cheaper than its floor by chance
MOST_NATS = 745.0  # −ln of the smallest number above 0: what a token of probability 0 is taken for

Check = dict[str, Any]


def normalised(samples: Sequence[RowEvidence]) -> Check:
    """Total mass over the samples of all seeds."""
    mass = np.concatenate([of_seed.mass for of_seed in samples])
    return of_mass(mass, LARGEST_DEVIATION) | {"targets_sampled": len(samples[0].mass)}


def of_mass(mass: np.ndarray, allowed: float) -> Check:
    """Whether Z at every sampled target is 1, but for `allowed`. mass: (targets,), not empty."""
    deviation = float(np.abs(mass - 1).max())
    return {
        "ok": deviation <= allowed,
        "mean_z": float(mass.mean()),
        "max_z": float(mass.max()),
        "max_deviation": deviation,
        "mean_log2_z": float(np.log2(mass).mean()),
    }


def causal(
    rows: Sequence[RowEvidence], models: Sequence[ModelEvidence], cache: CacheEvidence | None
) -> Check:
    """Whether the past stays the same when a target and all after it are changed, part by part."""
    parts = {"scoring": models, "counting": [cache] if cache else [], "mixing": rows}
    broken = [part for part, found in parts.items() if not all(e.stays.all() for e in found)]
    return {"ok": not broken, "targets": rows[0].changed.tolist(), "broken": broken}


def score_before_update(samples: Sequence[RowEvidence], cache: CacheEvidence | None) -> Check:
    """Scores come from what was known before the token, and looking changes nothing.

    States are a hashed cache's tables and an adaptive gate's weights and counts. An exact cache's
    look-ups are seen to change nothing as all counts after them are those of the row.
    """
    difference = max(float(of_seed.difference.max()) for of_seed in samples)
    model = max(float(of_seed.of_model.mean()) for of_seed in samples)
    states = [of_seed.kept for of_seed in samples] + ([cache.kept] if cache else [])
    kept = bool(np.concatenate(states).all())
    same = all(bool(of_seed.same_counts.all()) for of_seed in samples)
    return {
        "ok": kept and same and difference <= LARGEST_DIFFERENCE and model <= MODEL_DIFFERENCE,
        "max_difference_nats": difference,
        "mean_model_difference_nats": model,
        "states_kept": kept,
        "states_checked": sum(map(len, states)),
        "counts_agree": same,
    }


def once_each(sums: Sequence[Sums], targets: int, size: int) -> Check:
    """Whether every seed's ranks hold targets 1 … `targets` once each, of `size` bytes in all.

    A rank's span is that of its score shard, and mixing requires the same of its counts.
    """
    covered = all(
        of_seed.bytes == size
        and covers([(part.first_target, part.targets) for part in of_seed.sums], targets)
        for of_seed in sums
    )
    return {"ok": covered, "targets": targets, "bytes": size}


def covers(spans: Sequence[tuple[int, int]], targets: int) -> bool:
    """Whether spans, (first target, targets) in order, hold targets 1 … `targets` once each."""
    firsts = [first for first, _ in spans]
    stops = [first + count for first, count in spans]
    return firsts == [1, *stops[:-1]] and stops[-1] == targets + 1


def same_text(val: ValText) -> Check:
    """Whether a code for the tokens is one for the text, as far as that is known."""
    return {
        "ok": not val.text_is_lost,
        "text": val.text,
        "bytes": val.bytes,
        "original_bytes": val.original_bytes,
    }


def null_stream(nats: np.ndarray, vocabulary: int) -> Check:
    """nats: of every target of a uniformly random text, infinite ones counted as MOST_NATS."""
    bits, floor = np.minimum(nats, MOST_NATS) / math.log(2), math.log2(vocabulary)
    error = float(bits.std(ddof=1) / math.sqrt(len(bits)))
    mean = float(bits.mean())
    return {
        "ok": mean >= floor - STANDARD_ERRORS * error - 1e-6,
        "bits_per_token": mean,
        "floor_bits": floor,
        "standard_error": error,
    }


def holds(checks: dict[str, Check]) -> bool:
    """Whether the row's score is a code length."""
    return all(check["ok"] for check in checks.values())


def seed_figures(sums: Sums, mass: np.ndarray) -> dict[str, float | None]:
    """bpb, mean Z, and bpb when E[log2 Z] is charged for every target, with its standard error."""
    logs, error = mean_log2(mass, sums.targets)
    targets_per_byte = sums.targets / sums.bytes
    return {
        "bpb": sums.bits_per_byte,
        "mean_z": float(mass.mean()),
        "mean_log2_z": logs,
        "bpb_normalized": sums.bits_per_byte + logs * targets_per_byte,
        "standard_error": None if error is None else error * targets_per_byte,
    }


def mean_log2(mass: np.ndarray, targets: int) -> tuple[float, float | None]:
    """E[log2 Z] over targets drawn from `targets`, and its standard error.

    The error is 0 if all were drawn, and None if one of several was: nothing says how they vary.
    """
    logs = np.log2(mass)
    error = float(standard_error(logs, targets))
    return float(logs.mean()), None if math.isnan(error) else error


def standard_error(values: np.ndarray, targets: int) -> np.ndarray:
    """Standard errors (…,) of means of `values` (…, drawn), of targets drawn from `targets`.

    0 if all were drawn; nan for one of several.
    """
    drawn = values.shape[-1]
    if drawn >= targets:
        return np.zeros(values.shape[:-1])
    if drawn == 1:
        return np.full(values.shape[:-1], np.nan)
    return values.std(axis=-1, ddof=1) / math.sqrt(drawn)


def require_claim(row: str, claim: str | None, checks: dict[str, Check]) -> None:
    """Raise StageError if the row claims to be a code length and a check failed."""
    if claim != "code_length":
        return
    for name, check in checks.items():
        if not check["ok"]:
            figures = ", ".join(f"{key} {value}" for key, value in check.items() if key != "ok")
            raise StageError(f"row {row}: claims code_length but fails `{name}`: {figures}")
