"""Is somebody else's score a code length? Nine checks that run the scorer and read none of it.

Conditions as in parameter-golf issue #1017: (C1) p depends on the artifact and the tokens before;
(C2) it is a full distribution, fixed before the token is looked at; (C3) a token changes the state
only after it is scored; (C4) one pass, every token scored once.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fairway.audit import verdict
from fairway.audit.case import FAILED, NOT_CHECKED, SKIPPED, Case, Finding, judged, moved
from fairway.audit.checks import changed_tail, first_moved
from fairway.audit.mass import Masses, masses
from fairway.audit.sandbox import ScorerFailure
from fairway.audit.scorers import scored

MASS_DEVIATION = 1e-6  # of Z from 1: float32 nats below 16 are rounded by up to 5e-7
CODE_OVERHEAD = 0.005, 64  # share and bits: integers for probabilities, the coder's last words
BETTER_BY = 0.01  # share of the score that smaller tables may gain by luck
LOADS = (1, 4, 16)  # tokens per bucket


def repeatable(case: Case) -> Finding:
    """Run again in the same process, and in a fresh one."""
    start = time.monotonic()
    runs = [next(iter(case.subject.nats([case.text.tokens])))]
    case.seconds = min(case.seconds, time.monotonic() - start)  # a first run may compile
    if case.traits.kind != "program":
        with closing(case.subject.fresh()) as worker:
            runs.append(next(scored(worker, case.text.tokens)))
    else:
        runs += case.subject.nats([case.text.tokens])
    for again, where in zip(runs, ("the same process", "a fresh process"), strict=True):
        if len(again) != len(case.nats):
            return judged(False, f"{len(case.nats)} numbers, then {len(again)} in {where}")
        target = moved(case.nats, again)
        if target is not None:
            largest = float(np.abs(again - case.nats).max())
            return judged(
                False,
                f"{case.at(target)}: {case.nats[target - 1]:.6g} nats, then "
                f"{again[target - 1]:.6g} in {where}; largest difference {largest:.2g}",
                target,
                largest_difference=largest,
            )
    return judged(True, "three runs, one in a fresh process: the same bit for bit")


def once_each(case: Case) -> Finding:
    """One finite number per target, none below 0."""
    count, wanted = len(case.nats), case.text.targets
    if not verdict.covers([(1, count)], wanted):
        target = min(count, wanted - 1) + 1
        return judged(False, f"{count:,} numbers for {wanted:,} targets", target, numbers=count)
    wrong = ~(np.isfinite(case.nats) & (case.nats >= -MASS_DEVIATION))
    if wrong.any():
        target = int(wrong.argmax()) + 1
        found = f"{case.at(target)}: {case.nats[target - 1]} nats, {int(wrong.sum()):,} such"
        return judged(False, found, target, numbers=count)
    return judged(True, f"{count:,} finite numbers for {wanted:,} targets", numbers=count)


def causal(case: Case) -> Finding:
    """The text changed, and cut, behind sampled targets: nothing up to them may move."""
    generator, tokens = case.generator(), case.text.tokens
    sampled = np.union1d(case.sample(case.settings.changed_targets).all, case.mass_sample.all)
    vocabulary, faults, largest = case.text.vocabulary, [], 0.0
    places = sampled.tolist()
    others = [changed_tail(tokens, place + 1, vocabulary, generator) for place in places]
    others = [other.astype(np.int64) for other in others]
    for place, nats in zip(places, case.prefixes(others), strict=True):
        target = moved(case.nats[:place], nats[:place])
        if target is not None:
            faults.append((target, place, "changed", nats[target - 1]))
    for place, nats in zip(places, case.prefixes([tokens[: p + 1] for p in places]), strict=True):
        same = case.nats[:place].view(np.int64) == nats.view(np.int64)
        with np.errstate(invalid="ignore"):
            difference = np.where(same, 0.0, np.abs(nats - case.nats[:place]))
        largest = max(largest, float(difference.max()))
        wrong = ~(difference <= case.settings.rounding)
        if wrong.any():
            target = int(wrong.argmax()) + 1
            faults.append((target, place, "cut off", nats[target - 1]))
    if not faults:
        found = f"changed and cut behind {len(places)} targets: nothing before moves"
        return judged(True, found, places=places, largest_cut_difference=largest)
    target, place, how, nats = min(faults, key=lambda fault: fault[:2])
    found = (
        f"{case.at(target)}: {case.nats[target - 1]:.6g} nats, but {nats:.6g} when all behind "
        f"target {place} is {how}"
    )
    return judged(False, found, target, places=places, broken_at=len({f[1] for f in faults}))


def normalised(case: Case) -> Finding:
    """Mass over the vocabulary at targets drawn at random; at all, if they cost nothing."""
    targets = case.mass_sample.random
    if case.traits.kind == "predictor":
        targets = np.arange(1, case.text.targets + 1)
    found = masses(case, targets)
    logs, error = verdict.mean_log2(found.mass, case.text.targets)
    extra = {"mean_log2_z": logs, "standard_error": error}
    return _of_masses(case, found, extra)


def _of_masses(case: Case, found: Masses, extra: dict[str, Any]) -> Finding:
    """Whether Z is 1 wherever it was measured, and a told distribution is what scores."""
    check = verdict.of_mass(found.mass, MASS_DEVIATION)
    difference = float(found.differences.max())
    ok = check.pop("ok") and difference <= case.settings.rounding
    figures = check | extra | {"targets": len(found.targets), "score_difference": difference}
    if ok:
        largest = f"|Z − 1| ≤ {check['max_deviation']:.1g}"
        return judged(True, f"{largest} at {len(found.targets):,} targets", **figures)
    near = np.abs(found.mass - 1) <= MASS_DEVIATION
    index = int((near & (found.differences <= case.settings.rounding)).argmin())
    target = int(found.targets[index])
    text = f"{case.at(target)}: Z = {found.mass[index]:.6g}; mean {check['mean_z']:.6g}, largest "
    text += f"{check['max_z']:.6g} at {len(found.targets):,} targets"
    if near[index]:
        apart = found.differences[index]
        text = f"{case.at(target)}: what was summed differs by {apart:.3g} nats from the score"
    return judged(False, text, target, **figures)


def blind(case: Case) -> Finding:
    """Where a cheat would pay: mass 1, and no other number depends on the token.

    A predictor's distributions are there before the token; asking again must change nothing.
    """
    if case.traits.kind == "predictor":
        nats, _, changed = case.walk
        if changed:
            return judged(False, f"{case.at(changed)}: asked twice, two distributions", changed)
        target = moved(case.nats, nats)
        found = "asked twice at every target: the same, and the score too"
        if target is not None:
            found = f"{case.at(target)}: another score when it is asked twice for each target"
        return judged(target is None, found, target)
    found = masses(case, case.mass_sample.suspects)
    if found.moved:
        target, by = found.moved
        return judged(False, f"{case.at(target)}: moves with the token of target {by}", target)
    return _of_masses(case, found, {})


def null(case: Case) -> Finding:
    """Uniformly random tokens cost log2(vocabulary) bits each, whatever one does."""
    vocabulary = case.text.vocabulary
    count = case.settings.null_tokens or max(2000, 10 * vocabulary)
    tokens = case.generator().integers(0, vocabulary, count + 1)
    check = verdict.null_stream(next(iter(case.prefixes([tokens]))), vocabulary)
    ok = check.pop("ok")
    found = (
        f"{check['bits_per_token']:.4f} ± {check['standard_error']:.4f} bits per random token; "
        f"the floor is {check['floor_bits']:.4f}"
    )
    return judged(ok, found, **check, tokens=count)


def collisions(case: Case) -> Finding:
    """Smaller tables know less; a score that gets better by them counts collisions."""
    named, targets = case.traits.table_size, case.text.targets
    if named is None:
        return Finding(SKIPPED, "names no table_size")
    wanted = [named / 4, *(targets / load for load in LOADS)]
    sizes = {1 << int(math.log2(max(1, size))) for size in wanted}  # as masks need them
    bits, fault = {named: float(case.nats.mean() / math.log(2))}, None
    for size in sorted((size for size in sizes if size < named), reverse=True):
        with closing(case.subject.with_table_size(size)) as worker:
            nats = next(scored(worker, case.text.tokens))
        bits[size] = float(nats.mean() / math.log(2))
        gain = case.nats - nats
        error = gain.std(ddof=1) / math.sqrt(targets)
        allowed = verdict.STANDARD_ERRORS * error + BETTER_BY * case.nats.mean()
        if fault is None and gain.mean() > allowed:
            fault = size
    shown = ", ".join(f"{size:,}: {value:.4f}" for size, value in bits.items())
    found = f"bits per token by table size: {shown}"
    return judged(fault is None, found, bits={str(size): value for size, value in bits.items()})


def decoded(case: Case) -> Finding:
    """Compressed with the distributions, and decoded by a fresh process."""
    count = min(case.settings.decoded_targets, case.text.targets)
    tokens = case.text.tokens[: count + 1]
    _, (code,) = case.subject.one("encode", tokens)
    claimed, bits = float(case.nats[:count].sum() / math.log(2)), 8 * len(code)
    with closing(case.subject.fresh()) as worker:
        asked = worker.ask("decode", code, first=int(tokens[0]), targets=count)
        answer, (text,) = next(asked)
    figures = {"claimed_bits": claimed, "file_bits": bits, "targets": count}
    if answer["why"]:
        return judged(False, f"a fresh process cannot decode it: {answer['why']}", **figures)
    target = first_moved(tokens, text.astype(np.int64))
    if target is not None:
        found = f"{case.at(target)}: a fresh process decodes another"
        return judged(False, found, target, **figures)
    share, rest = CODE_OVERHEAD
    found = f"{count:,} targets: {bits:,} bits for {claimed:,.1f} claimed, decoded alike"
    return judged(bits <= claimed * (1 + share) + rest, found, **figures)


def counted_bytes(case: Case) -> Finding:
    """What bits per byte are divided by: at most the bytes that the tokens stand for."""
    known = case.text.target_bytes
    if known is None:
        return Finding(SKIPPED, "needs a tokenizer")
    if not case.traits.tells_bytes:
        return Finding(SKIPPED, f"names no target_bytes; the text has {known.sum():,}")
    _, (counted,) = case.subject.one("bytes", case.text.tokens)
    if counted.shape != known.shape:
        raise ScorerFailure(f"target_bytes has shape {counted.shape}, not {known.shape}")
    allowed = int(known.sum(dtype=np.int64))
    if case.text.original_bytes is not None:
        allowed = max(allowed, case.text.original_bytes)
    total = float(counted.sum(dtype=np.float64))
    ahead = np.cumsum(counted, dtype=np.float64) > np.cumsum(known, dtype=np.float64)
    target = len(ahead) - int((~ahead)[::-1].argmax()) + 1 if not ahead.all() else 1
    found = f"{total:,.0f} bytes counted; the text has {allowed:,}"
    figures = {"counted": total, "bytes": allowed}
    return judged(total <= allowed, found, min(target, len(ahead)), **figures)


@dataclass(frozen=True)
class CheckKind:
    """A check: the conditions it tests, and the kinds of scorer that it is for."""

    run: Callable[[Case], Finding]
    conditions: str
    kinds: tuple[str, ...] = ("predictor", "scorer", "program")

    @property
    def done(self) -> str:
        """What is done, in a line."""
        return self.run.__doc__.splitlines()[0]


CHECKS = {
    "repeatable": CheckKind(repeatable, "C1"),
    "once-each": CheckKind(once_each, "C4"),
    "causal": CheckKind(causal, "C1, C3"),
    "normalised": CheckKind(normalised, "C2"),
    "blind": CheckKind(blind, "C2"),
    "null": CheckKind(null, "C1, C2, C3"),
    "collisions": CheckKind(collisions, "C2", ("predictor", "scorer")),
    "decoded": CheckKind(decoded, "C1, C2, C3", ("predictor",)),
    "bytes": CheckKind(counted_bytes, "bits per byte", ("predictor", "scorer")),
}

_FIRST = ("repeatable", "once-each")  # what can be said of numbers that are too few or too many


def run_checks(
    case: Case, started: Callable[[str], None] = lambda name: None
) -> dict[str, Finding]:
    """All checks, by their IDs; one that the scorer does not let be made says why."""
    found = {}
    for name, check in CHECKS.items():
        if case.traits.kind not in check.kinds:
            found[name] = Finding(SKIPPED, f"is for: {', '.join(check.kinds)}")
            continue
        if not case.assigned and name not in _FIRST:
            found[name] = Finding(SKIPPED, "needs one number for every target")
            continue
        started(name)
        start = time.monotonic()
        try:
            finding = check.run(case)
        except ScorerFailure as failure:
            finding = Finding(NOT_CHECKED, str(failure))
            case.subject.restart()
        found[name] = replace(finding, seconds=round(time.monotonic() - start, 3))
    return found


def is_code_length(found: dict[str, Finding]) -> bool | None:
    """False if a check failed, None if one could not be made, else True."""
    outcomes = {finding.outcome for finding in found.values()}
    if FAILED in outcomes:
        return False
    return None if NOT_CHECKED in outcomes else True
