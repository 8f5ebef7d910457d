"""What a training told of itself: metrics.jsonl, read and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fairway.files.records import Amount, Natural, Positive, View, Within, build, check
from fairway.stage import StageError, check_seal, parse_json, require_file


@dataclass(frozen=True)
class Step(View):
    """A step's line. loss: nats per token of its batch; seconds: of the training so far."""

    step: Positive
    loss: Amount
    lr_scale: Annotated[float, Within(0, 1)]
    tokens_per_second: Amount
    seconds: Amount


@dataclass(frozen=True)
class Compared(View):
    """Nats per token of one text with a step's weights, and with their averages until then.

    unseen: no step has learned from that text; comparing_seconds: what this line cost, no part of
    the training's seconds.
    """

    event: Literal["compared"]
    step: Positive
    raw_loss: Amount
    averaged_loss: Amount
    tokens: Positive
    unseen: bool
    comparing_seconds: Amount


@dataclass(frozen=True)
class Done(View):
    """The closing line."""

    event: Literal["done"]
    steps: Natural
    seconds: Amount
    parameters: Positive


@dataclass(frozen=True)
class Metrics:
    """A finished training's lines, by kind and in their order."""

    steps: list[Step]
    compared: list[Compared]
    done: Done


def read_line(text: bytes | str, name: object) -> Step | Compared | Done:
    """One line; StageError, beginning with `name`, if it is of no kind or damaged."""
    line = parse_json(text, name)
    kinds = {"compared": Compared, "done": Done}
    return build(kinds.get(str(check(dict, line, name).get("event")), Step), line, name)


def read_metrics(path: Path) -> Metrics:
    """All lines; StageError, naming file and place, if one is damaged or the last is missing."""
    content = require_file(path).read_bytes()
    texts = content.splitlines()
    found = [read_line(text, f"{path}:{place}") for place, text in enumerate(texts, 1)]
    *lines, done = found or [None]
    if not isinstance(done, Done):
        raise StageError(f"{path}: has no closing `done` line; the training did not finish")
    check_seal(content, path)
    steps = [line for line in lines if isinstance(line, Step)]
    compared = [line for line in lines if isinstance(line, Compared)]
    return Metrics(steps, compared, done)
