"""What can be wrong with a configuration's sweeps, and the caches that are counted for them.

A sweep's values are held to what the schema and the settings say of the gate's and the cache's
own. Settings of gates are checked at the corners of the grid: what they may be is an interval in
each of their numbers.
"""

import math
from collections.abc import Iterator

from fairway.counting.settings import CacheSettings
from fairway.gates.settings import BayesSettings, MatchSettings
from fairway.rows.entry import NONE
from fairway.rows.grid import CACHE_NUMBERS, Axis, axes_of, caches_of, changed, points
from fairway.workflow.schema import Config, describe, errors, nearest
from fairway.workflow.values import setting_faults

MOST_SETTINGS = 100_000
MOST_CACHES = 64  # each is counted by a job of its own


def sweep_faults(config: Config, schema: Config) -> Iterator[str]:
    """A line per fault of the sweeps of a configuration that is right otherwise."""
    rows = {row["name"]: row for row in config["rows"]}
    for name, sweep in config["sweeps"].items():
        place, row = f"sweeps.{name}", rows.get(sweep["row"])
        if row is None:
            hint = nearest(sweep["row"], list(rows))
            yield f"config key `{place}.row`: {sweep['row']!r} is not in `rows`; {hint}"
        elif row["gate"] == NONE:
            yield f"config key `{place}.row`: {sweep['row']!r}; expected a row with a gate"
        else:
            parts = {key: config[f"{key}s"][row[key]] for key in ("gate", "cache")}
            found = list(_size_faults(place, axes_of(sweep)))
            found = found or list(_axis_faults(place, sweep, parts, row, schema))
            yield from found or _grid_faults(config, place, sweep, parts, row)


def _size_faults(place: str, axes: list[Axis]) -> Iterator[str]:
    """No settings, or too many."""
    if not axes:
        yield f"config key `{place}`: no values; expected some of a number in `gate` or `cache`"
    for what, most, parts in (
        ("settings", MOST_SETTINGS, ("gate", "cache")),
        ("caches", MOST_CACHES, ("cache",)),
    ):
        number = math.prod(len(axis.values) for axis in axes if axis.part in parts)
        if number > most:
            yield f"config key `{place}`: {number:,} {what}; expected at most {most:,}"
            return


def _axis_faults(
    place: str, sweep: Config, parts: dict[str, Config], row: Config, schema: Config
) -> Iterator[str]:
    """Keys that gate or cache have no number of, and values that such a number cannot have."""
    gate, cache = parts["gate"], parts["cache"]
    known = {
        "gate": [key for key in gate if key != "kind"],
        "cache": [key for key in CACHE_NUMBERS if key in cache],
    }
    of = {"gate": f"gate_{gate['kind']}", "cache": "cache"}
    for part, key, values in axes_of(sweep):
        if key not in known[part]:
            yield (
                f"config key `{place}.{part}.{key}`: no number of {part} {row[part]} "
                f"({parts[part]['kind']}); {nearest(key, known[part])}"
            )
            continue
        number = schema["$defs"][of[part]]["properties"][key]
        held = {"items": number, "$defs": schema["$defs"]}
        for part_of_place in (key, part, *reversed(place.split("."))):
            held = {"properties": {part_of_place: held}, "$defs": schema["$defs"]}
        _, name = place.split(".")
        if isinstance(sweep[part][key], dict):  # evenly spaced: what holds of these holds of all
            values = [values[0], values[1], values[-1]]
        given = {"sweeps": {name: {part: {key: values}}}}
        yield from (describe(error) for error in errors(given, held))


def _grid_faults(
    config: Config, place: str, sweep: Config, parts: dict[str, Config], row: Config
) -> Iterator[str]:
    """Settings that do not go together."""
    axes = axes_of(sweep)
    caches = caches_of(config["caches"], row["cache"], axes)
    for cache in caches:
        known = config["caches"].get(cache.name, cache.settings)
        if known != cache.settings:
            yield (
                f"config key `caches.{cache.name}`: the name of another cache, which `{place}` "
                "needs; expected another name"
            )
        yield from setting_faults(
            f"{place}.cache", "cache", CacheSettings.from_settings, cache.settings
        )
    for point in points(_corners(axes), tuple(axis.values[0] for axis in axes)):
        gate = changed(parts["gate"], "gate", axes, point)
        cache = changed(parts["cache"], "cache", axes, point)
        make, given = MatchSettings.from_settings, (gate,)
        if gate["kind"] == "empirical_bayes":
            make, given = BayesSettings.from_settings, (gate, cache)
        yield from setting_faults(f"{place}.gate", f"gate {gate['kind']}", make, *given)


def _corners(axes: list[Axis]) -> list[Axis]:
    return [axis._replace(values=sorted({min(axis.values), max(axis.values)})) for axis in axes]


def sweep_caches(config: Config) -> dict[str, Config]:
    """Settings, by name, of the caches that are counted for sweeps and that no row has."""
    rows = {row["name"]: row for row in config["rows"]}
    found = {}
    for sweep in config["sweeps"].values():
        cache = rows[sweep["row"]]["cache"]
        for each in caches_of(config["caches"], cache, axes_of(sweep)):
            found[each.name] = each.settings
    return found
