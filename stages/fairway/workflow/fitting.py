"""Models and memories that cannot fit the bytes allowed, refused before anything is trained.

No numpy and no torch: `fairway.artifact.forecast` is arithmetic on the configuration.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fairway.artifact.forecast import forecast
from fairway.rows.entry import NONE
from fairway.workflow.levers import levers

Config = Mapping[str, Any]


def size_faults(config: Config) -> Iterator[str]:
    """A line for each model, and each memory beside one, that rows have and that cannot fit.

    That is: if it is too large at the smallest of its forecast, less `packing.room_bytes` as
    pack_artifact has it; a memory of given bytes also without any code. What else comes on top is
    in `estimate`, and no row is scored that is over the limit.
    """
    for name in dict.fromkeys(row["model"] for row in config["rows"]):
        if name != NONE:
            yield from _model_faults(config, name)
    for model, cache in dict.fromkeys((row["model"], row["cache"]) for row in config["rows"]):
        memory = config["caches"][cache]["memory"] if cache != NONE else None
        if memory is not None and config["memories"][memory]["budget"] == "bytes":
            yield from _memory_faults(config, model, memory)


def _model_faults(config: Config, name: str) -> Iterator[str]:
    model, vocabulary = config["models"][name], config["corpus"]["vocabulary"]
    limit, room = config["limits"]["artifact_bytes"], model["packing"]["room_bytes"]
    filled, most, place = model["quantization"]["packed_bytes"], limit - room - 1, f"models.{name}"
    what = f"less than limits.artifact_bytes, {limit:,}, less packing.room_bytes, {room:,}"
    if filled is not None and filled > most:
        key = f"{place}.quantization.packed_bytes"
        yield f"config key `{key}`: {filled:,}; expected {what}"
        return
    if filled is not None:
        what = f"at most quantization.packed_bytes, {filled:,}"
    found = forecast(model, vocabulary)
    if found.low > (most if filled is None else filled):
        would = "; ".join(lever.in_words() for lever in levers(model, vocabulary, most))
        yield (
            f"config key `{place}`: forecast of {found.in_words()}; expected {what}. "
            f"What would fit: {would or 'no single change'}"
        )


def _memory_faults(config: Config, model: str, memory: str) -> Iterator[str]:
    """The memory beside the model's network, if that is too much even without code."""
    size, limit = config["memories"][memory]["size"], config["limits"]["artifact_bytes"]
    least, left, beside = 0, 0, ""
    if model != NONE:
        found = forecast(config["models"][model], config["corpus"]["vocabulary"])
        least, beside = found.low, f" beside a network, models.{model}, of at least {found.low:,}"
        left = limit - found.high - config["models"][model]["packing"]["room_bytes"]
    if least + size >= limit:
        would = f"size: {left}" if left > 0 else "less, and code beside it"
        yield (
            f"config key `memories.{memory}.size`: {size:,} bytes{beside}; expected less than "
            f"limits.artifact_bytes, {limit:,}, in all. What would fit: {would}"
        )
