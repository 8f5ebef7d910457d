"""Values of the configuration that the stages would refuse, found before anything runs.

The stages' own settings check themselves when they are made, so they are made here. This runs
whenever the Snakefile is read: nothing that it imports needs torch, numba or numpy.
"""

from collections.abc import Callable, Iterator
from typing import Any

from fairway.artifact.forecast import forecast
from fairway.artifact.settings import StepSettings
from fairway.corpus.windows import WindowPlan
from fairway.counting.settings import CacheSettings, MemorySettings
from fairway.gates.settings import BayesSettings, MatchSettings
from fairway.model.architecture import ModelConfig
from fairway.stage import StageError
from fairway.training.settings import TrainingSettings

Config = dict[str, Any]


def value_faults(config: Config) -> Iterator[str]:
    """A line per fault of a configuration that has its defaults and whose rows name what exists.

    Models, caches and gates are checked whether or not a row uses them; what must fit together
    is checked where rows bring it together.
    """
    windows = config["windows"]
    yield from setting_faults("", "", lambda: WindowPlan(windows["length"], **windows))
    for name, model in config["models"].items():
        yield from _model_faults(f"models.{name}", model, config["corpus"]["vocabulary"])
    for name, cache in config["caches"].items():
        yield from setting_faults(f"caches.{name}", "cache", CacheSettings.from_settings, cache)
    for name, memory in config["memories"].items():
        yield from setting_faults(
            f"memories.{name}", "memory", MemorySettings.from_settings, memory
        )
    for name, gate in config["gates"].items():
        if gate["kind"] != "empirical_bayes":
            within = f"gate {gate['kind']}"
            yield from setting_faults(f"gates.{name}", within, MatchSettings.from_settings, gate)
    for row in config["rows"]:
        yield from _row_faults(config, row)


def setting_faults(
    place: str, within: str, make: Callable[..., object], *settings: object
) -> Iterator[str]:
    """The fault that `make` finds in the settings, as a line about the configuration.

    place: of the settings in the configuration; within: what `make` writes for that place.
    """
    try:
        make(*settings)
    except StageError as error:
        key, _, rest = str(error).partition(": ")
        yield f"config key `{place}{key.removeprefix(within)}`: {rest}"


def _model_faults(place: str, model: Config, vocabulary: int) -> Iterator[str]:
    """Architecture, training and quantization by themselves, and then together."""
    parts = (
        (ModelConfig.from_settings, (model["architecture"], vocabulary)),
        (TrainingSettings.from_settings, (model["training"],)),
        (StepSettings.from_settings, (model["quantization"],)),
    )
    found = [
        fault for make, given in parts for fault in setting_faults(f"{place}.", "", make, *given)
    ]
    yield from found
    if not found:
        training = TrainingSettings.from_settings(model["training"])
        context = model["architecture"]["rope_context"]
        yield from setting_faults(f"{place}.", "", training.require_context, context)
        yield from setting_faults(f"{place}.", "", forecast, model, vocabulary)
        yield from _pruning_faults(place, model)


def _pruning_faults(place: str, model: Config) -> Iterator[str]:
    """Pruning beside a search: it would never be done."""
    fraction, quantization = model["packing"]["prune_fraction"], model["quantization"]
    for key in ("bits_per_weight", "packed_bytes"):
        if fraction > 0 and quantization[key] is not None:
            yield (
                f"config key `{place}.packing.prune_fraction`: {fraction}; expected 0 beside "
                f"quantization.{key}, since a search has no int6 weights; fewer bits make it "
                "smaller"
            )


def _row_faults(config: Config, row: Config) -> Iterator[str]:
    """What does not fit together in a row: windows and model, gate and cache."""
    length, model = config["windows"]["length"], config["models"].get(row["model"])
    context = model["architecture"].get("rope_context", length) if model else length
    if length > context:
        yield (
            f"config key `windows.length`: {length}; expected at most "
            f"models.{row['model']}.architecture.rope_context ({context})"
        )
    gate, cache = config["gates"].get(row["gate"]), config["caches"].get(row["cache"])
    if gate and gate["kind"] == "empirical_bayes":
        place, within = f"gates.{row['gate']}", "gate empirical_bayes"
        for fault in setting_faults(place, within, BayesSettings.from_settings, gate, cache):
            yield f"{fault} (row {row['name']} with cache {row['cache']})"
