"""Models that cannot fit the bytes allowed, refused before anything is trained; what would fit.

No numpy and no torch: `fairway.artifact.forecast` is arithmetic on the configuration.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fairway.artifact.forecast import forecast
from fairway.model.architecture import ModelConfig
from fairway.rows.entry import NONE

Config = Mapping[str, Any]
LEVERS = (  # keys of `architecture` that may be smaller, in steps of
    ("blocks", 1),
    ("shared_blocks", 1),
    ("unique_blocks", 1),
    ("mlp_width", 64),
    ("bigram_rows", 256),
)


def size_faults(config: Config) -> Iterator[str]:
    """A line for each model of a row whose network alone is too large even at its smallest.

    Memory and code come on top; `estimate` has them, and no row is scored that is over the limit.
    """
    for name in dict.fromkeys(row["model"] for row in config["rows"]):
        if name != NONE:
            yield from _model_faults(config, name)


def _model_faults(config: Config, name: str) -> Iterator[str]:
    model, vocabulary = config["models"][name], config["corpus"]["vocabulary"]
    most = config["limits"]["artifact_bytes"]
    packed_bytes, room = model["quantization"]["packed_bytes"], model["packing"]["room_bytes"]
    place, what = f"models.{name}", f"less than limits.artifact_bytes, {most:,}"
    if packed_bytes is not None:
        if packed_bytes >= most - room:
            yield (
                f"config key `{place}.quantization.packed_bytes`: {packed_bytes:,}; expected "
                f"{what}, less packing.room_bytes, {room:,}"
            )
            return
        most, what = packed_bytes + 1, f"at most quantization.packed_bytes, {packed_bytes:,}"
    found = forecast(model, vocabulary)
    if found.low >= most:
        would = ", ".join(levers(model, vocabulary, most)) or "nothing in `architecture` alone"
        yield (
            f"config key `{place}`: forecast of {found.in_words()}; expected {what}. "
            f"What would fit: {would}"
        )


def levers(model: Config, vocabulary: int, limit: int) -> Iterator[str]:
    """Changes of one setting each, as small as they can be, with which the model is to fit."""
    for key, step in LEVERS:
        value = model["architecture"].get(key, 0)
        sizes = _Sizes(model, vocabulary, key, step)
        smaller = max(0, -(-value // step) - 1)
        fits = bisect_left(sizes, limit, hi=smaller)
        if fits:
            yield f"{key}: {fits * step} ({sizes[fits - 1]:,} bytes)"


@dataclass(frozen=True)
class _Sizes:
    """Expected bytes with a key of `architecture` at step, 2·step, 3·step, …"""

    model: Config
    vocabulary: int
    key: str
    step: int

    def __getitem__(self, place: int) -> int:
        return _expected(self.model, self.vocabulary, {self.key: (place + 1) * self.step})


def _expected(model: Config, vocabulary: int, change: Config) -> int:
    """Expected bytes of the changed model; value embeddings of layers that it lacks go."""
    architecture = {**model["architecture"], **change}
    without = {**architecture, "value_embedding_layers": []}
    depth = len(ModelConfig.from_settings(without, vocabulary).virtual_layers)
    kept = [layer for layer in architecture["value_embedding_layers"] if layer < depth]
    changed = {**model, "architecture": {**architecture, "value_embedding_layers": kept}}
    return forecast(changed, vocabulary).expected
