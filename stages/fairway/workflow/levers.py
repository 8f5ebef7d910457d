"""What would make a model smaller: changes of its settings with which it is to fit.

No numpy and no torch: `fairway.artifact.forecast` is arithmetic on the configuration.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairway.artifact.forecast import LEAST_BITS, MOST_BITS, Forecast, forecast
from fairway.model.architecture import ModelConfig

Settings = Mapping[str, Any]
Changes = dict[str, Any]
"""Values by `section.key` of a model."""
_SEARCHED = {  # beside what a search goes by
    "quantization.packed_bytes": None,
    "quantization.bits_per_weight": None,
    "quantization.clip_sigmas": None,
    "packing.prune_fraction": 0,
}
_BITS = [tenths / 10 for tenths in range(int(10 * LEAST_BITS) + 1, int(10 * MOST_BITS))]
_CLIPS = (4.0, 10.0)  # of int6 and int8, if there are none: their bits cost hardly any nats
_LONGER = [1 + quarters / 4 for quarters in range(20, -1, -1)]  # times clips, smaller models first
_SMALLER = (  # keys of `architecture`, in steps of
    ("blocks", 1),
    ("shared_blocks", 1),
    ("unique_blocks", 1),
    ("mlp_width", 64),
    ("bigram_rows", 256),
)


@dataclass(frozen=True)
class Lever:
    """Changes that belong together, and the bytes then expected."""

    changes: Changes
    expected: int

    def in_words(self) -> str:
        """The changes as they are to be written, and what they give."""
        first, *others = (f"{key}: {_as_yaml(value)}" for key, value in self.changes.items())
        beside = f" with {' and '.join(others)}" if others else ""
        return f"{first}{beside} ({self.expected:,} bytes)"


def _as_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def levers(model: Settings, vocabulary: int, most: int) -> Iterator[Lever]:
    """Ways, each as small as it can be, to have a model take at most so many bytes.

    What costs the least loss comes first. A change names all keys that must change with it, so
    that made as it stands it leaves a configuration that is accepted. Of a model that is to fill
    `packed_bytes`, these are what others than more of them are to meet.
    """
    quantization, packing = model["quantization"], model["packing"]
    filled, bits = quantization["packed_bytes"], quantization["bits_per_weight"]
    levers = _Levers(model, vocabulary, most if filled is None else filled)
    if packing["compressor"] != "ans":
        yield from levers.last(["ans"], lambda name: {"packing.compressor": name})
    least = levers.after(_searched("packed_bytes", 1)).high
    if least <= most:
        yield levers.made(_searched("packed_bytes", most if filled is None else least))
    if filled is None:
        finer = [each for each in _BITS if bits is None or each < bits]
        yield from levers.last(finer, lambda value: _searched("bits_per_weight", value))
        if bits is None:
            clips = quantization["clip_sigmas"] or _CLIPS
            longer = [[round(times * clip, 2) for clip in clips] for times in _LONGER]
            yield from levers.last(longer, lambda value: {"quantization.clip_sigmas": value})
    for key, step in _SMALLER:
        smaller = range(step, model["architecture"].get(key, 0), step)
        yield from levers.last(smaller, lambda value, key=key: levers.architecture(key, value))


def _searched(key: str, value: float) -> Changes:
    return _SEARCHED | {f"quantization.{key}": value}


@dataclass(frozen=True)
class _Levers:
    """Changes of a model, which is to take at most so many bytes."""

    model: Settings
    vocabulary: int
    most: int

    def after(self, changes: Changes) -> Forecast:
        return forecast(changed(self.model, changes), self.vocabulary)

    def made(self, changes: Changes) -> Lever:
        """Without what is so already."""
        old = {
            f"{section}.{key}": value
            for section, settings in self.model.items()
            for key, value in settings.items()
        }
        new = {key: value for key, value in changes.items() if old[key] != value}
        return Lever(new, self.after(new).expected)

    def last(self, values: Sequence[Any], change: Callable[[Any], Changes]) -> Iterator[Lever]:
        """Of changes to values, those to smaller models first, the last that fits, if any does."""
        fit = bisect_right(values, self.most, key=lambda value: self.after(change(value)).expected)
        if fit:
            yield self.made(change(values[fit - 1]))

    def architecture(self, key: str, value: int) -> Changes:
        """The key with that value; value embeddings stay as far from the last layer."""
        architecture = self.model["architecture"]
        layers = architecture["value_embedding_layers"]
        fewer = self._depth(architecture) - self._depth({**architecture, key: value})
        kept = [layer - fewer for layer in layers if layer >= fewer]
        return {f"architecture.{key}": value, "architecture.value_embedding_layers": kept}

    def _depth(self, architecture: Settings) -> int:
        """Number of layers."""
        bare = {**architecture, "value_embedding_layers": []}
        return len(ModelConfig.from_settings(bare, self.vocabulary).virtual_layers)


def changed(model: Settings, changes: Changes) -> dict[str, dict[str, Any]]:
    """The model's sections with the changes made."""
    sections = {name: dict(section) for name, section in model.items()}
    for key, value in changes.items():
        section, _, name = key.partition(".")
        sections[section][name] = value
    return sections
