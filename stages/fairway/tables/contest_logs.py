"""Logs of parameter-golf entries: what one training and its evaluation reported, by seed.

Entries print `key:value` pairs in several dialects: `step:500/20000 train_loss:2.37
train_time:45126ms` or `500/20000 train_loss: 3.33 train_time: 0.8m`, `seed:1337` or an indented `
seed: 1337`. A line that begins like one of the known kinds must say all that its kind says, in
numbers; every other line (warnings of the launcher, diagnostics, the script itself) is passed
over.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fairway.stage import StageError

PAIR = re.compile(r"(\w+):\s*(\S+)")
WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d+)"  # with commas between thousands, or without any
NUMBER = re.compile(rf"([+-]?(?:{WHOLE}(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?)(ms|s|m)?", re.IGNORECASE)
MOST_SCORE = 1000.0  # nats per token or bits per byte; a decimal point lost is more
SECONDS = {None: 1.0, "s": 1.0, "ms": 1e-3, "m": 60.0}
STEP = re.compile(r"(?:step:\s*)?(\d+)/\d+ ")
RESULT = re.compile(r"(final_int\d+_\w+|quantized\w*) val_loss:")
SIZES = {  # what a line's beginning says is measured
    "model": re.compile(r"Serialized model \S.*: "),
    "code": re.compile(r"Code size: "),
    "total": re.compile(r"Total submission size[^:]*: "),
}
FINAL = "final_int6_sliding_window_exact or quantized_sliding_window"


@dataclass(frozen=True)
class Point:
    """One line of a training: figures that it does not have are None; seconds since the start."""

    step: int
    train_loss: float | None = None
    val_loss: float | None = None
    val_bpb: float | None = None
    seconds: float | None = None


@dataclass
class ContestRun:
    """What a log says. val_loss: nats per token; sizes in bytes; times in seconds."""

    seed: int | None = None
    parameters: int | None = None
    world_size: int | None = None
    batch_tokens: int | None = None
    steps: int | None = None
    train_seconds: float | None = None
    eval_seconds: float | None = None
    result: str | None = None
    val_loss: float | None = None
    val_bpb: float | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    prefill_seconds: dict[int, float] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)


def number(text: str) -> float:
    """A figure as logs write it: `1,024`, `1.5e-3`. Raises ValueError for anything else."""
    found = NUMBER.fullmatch(text)
    value = float(found[1].replace(",", "")) if found and not found[2] else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r}; expected a number")
    return value


def score(text: str) -> float:
    """A validation loss or bits per byte. Raises ValueError for what is none."""
    value = number(text)
    if not 0 < value <= MOST_SCORE:
        raise ValueError(f"{text}; expected more than 0 and at most {MOST_SCORE:g}")
    return value


def whole(text: str) -> int:
    """A whole number of at least 0. Raises ValueError for anything else."""
    value = number(text)
    if not (value >= 0 and value.is_integer()):
        raise ValueError(f"{text!r}; expected a whole number of at least 0")
    return int(value)


def seconds(text: str) -> float:
    """A duration in ms, s or m (minutes), in seconds. Raises ValueError without a unit."""
    found = NUMBER.fullmatch(text)
    if not found or not found[2]:
        raise ValueError(f"{text!r}; expected a number with ms, s or m")
    return float(found[1].replace(",", "")) * SECONDS[found[2].lower()]


def _pairs(line: str) -> dict[str, str]:
    return dict(PAIR.findall(line))


def _needed(pairs: dict[str, str], key: str, read: Callable) -> float:
    if key not in pairs:
        raise ValueError(f"no `{key}`")
    try:
        return read(pairs[key])
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _read_step(run: ContestRun, line: str, step: int) -> None:
    pairs = _pairs(line)
    time = _needed(pairs, "train_time", seconds) if "train_time" in pairs else None
    if "val_loss" in pairs or "val_bpb" in pairs:
        loss, bpb = (_needed(pairs, key, score) for key in ("val_loss", "val_bpb"))
        run.points.append(Point(step, val_loss=loss, val_bpb=bpb, seconds=time))
    else:
        loss = _needed(pairs, "train_loss", number)
        run.points.append(Point(step, train_loss=loss, seconds=time))


def _read_result(run: ContestRun, line: str, label: str) -> None:
    pairs = _pairs(line)
    run.val_loss, run.val_bpb = (_needed(pairs, key, score) for key in ("val_loss", "val_bpb"))
    stem = label.removesuffix("_exact")  # the same result again, with more digits and no time
    if "eval_time" in pairs:
        run.eval_seconds = _needed(pairs, "eval_time", seconds)
    elif run.result is None or run.result.removesuffix("_exact") != stem:
        run.eval_seconds = None
    run.result = label


def _read_stop(run: ContestRun, line: str) -> None:
    pairs = _pairs(line)
    run.train_seconds = _needed(pairs, "train_time", seconds)
    run.steps = whole(_needed(pairs, "step", str).partition("/")[0])


def _read_prefill(run: ContestRun, line: str) -> None:
    found = re.fullmatch(r"ngram_prefill:rank(\d+) pre-filled (\d+) positions in (\S+)", line)
    if not found:
        raise ValueError("expected `rankR pre-filled N positions in Ts`")
    run.prefill_seconds[int(found[1])] = seconds(found[3])


def _read_sizes(run: ContestRun, line: str) -> None:
    for what, beginning in SIZES.items():
        found = beginning.match(line)
        if found:
            run.sizes[what] = whole(line[found.end() :].removesuffix("bytes").strip())


def _read_settings(run: ContestRun, line: str) -> None:
    pairs = _pairs(line)
    for key, name in (
        ("seed", "seed"),
        ("model_params", "parameters"),
        ("world_size", "world_size"),
        ("train_batch_tokens", "batch_tokens"),
    ):
        if key in pairs:
            value, before = _needed(pairs, key, whole), getattr(run, name)
            if name == "seed" and before not in (None, value):
                raise ValueError(f"seed {value}, after {before}; expected one training a log")
            setattr(run, name, value)


def read_line(run: ContestRun, line: str) -> None:
    """Add what one line says. Raises ValueError, in a few words, for a malformed one."""
    step, result = STEP.match(line), RESULT.match(line)
    if step and ("loss" in line or line.startswith("step:")):
        _read_step(run, line, int(step[1]))
    elif result:
        _read_result(run, line, result[1])
    elif line.startswith("stopping_early:"):
        _read_stop(run, line)
    elif line.startswith("total_eval_time:"):
        run.eval_seconds = _needed(_pairs(line), "total_eval_time", seconds)
    elif line.startswith("ngram_prefill:"):
        _read_prefill(run, line)
    elif any(beginning.match(line) for beginning in SIZES.values()):
        _read_sizes(run, line)
    elif re.match(r"(  )?(seed|model_params|world_size|train_batch_tokens):", line):
        _read_settings(run, line)


def read_log(lines: Iterable[str], name: str) -> ContestRun:
    """One log. name: of the file, for errors.

    Raises StageError that names the file, and the line where one is malformed: a figure that is
    none, a seed or a final score that no line gives, sizes that do not add up.
    """
    run = ContestRun()
    for place, line in enumerate(lines, 1):
        try:
            read_line(run, line.rstrip("\n"))
        except ValueError as error:
            raise StageError(f"{name}:{place}: {error}") from None
    _check(run, name)
    return run


def _check(run: ContestRun, name: str) -> None:
    if run.seed is None:
        raise StageError(f"{name}: no line says the seed; expected `seed:N`")
    if run.val_bpb is None:
        raise StageError(f"{name}: no line gives a final score; expected {FINAL}: is it complete?")
    if run.steps is None and run.points:  # a training that its iterations ended, not the clock
        last = run.points[-1]
        run.steps, run.train_seconds = last.step, last.seconds
    sizes = run.sizes
    if {"model", "code", "total"} <= sizes.keys():
        added = sizes["model"] + sizes["code"]
        if added != sizes["total"]:
            raise StageError(
                f"{name}: total submission size {sizes['total']:,}; expected {added:,}, "
                f"model and code together"
            )
