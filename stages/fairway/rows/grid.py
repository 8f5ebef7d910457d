"""A sweep's grid: a row's gate and cache with other numbers. What the Snakefile and the sweep's
stage both take from its entry in the configuration; no numpy and no numba, so that the former has
it too.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

Config = dict[str, Any]
Point = tuple[Any, ...]  # one value of every axis
PARTS = ("gate", "cache")
CACHE_NUMBERS = ("max_order", "min_order", "min_count", "buckets")  # keys of a cache to be swept


class Axis(NamedTuple):
    """One number that is swept: of the row's gate or cache (part), its key and its values."""

    part: str
    key: str
    values: list[Any]


class CountedCache(NamedTuple):
    """A cache that a sweep needs counts of: its name, its settings, and the name of the one that
    is without collisions but otherwise the same, for a hashed one."""

    name: str
    settings: Config
    exact: str | None


def axes_of(sweep: Config) -> list[Axis]:
    """The numbers that a sweep varies, in the order in which they are given."""
    return [
        Axis(part, key, values_of(values)) for part in PARTS for key, values in sweep[part].items()
    ]


def values_of(values: list[Any] | Config) -> list[Any]:
    """A list as it is; {from, to, number} as so many numbers, evenly spaced, whole if all are."""
    if isinstance(values, list):
        return values
    first, last, steps = values["from"], values["to"], values["number"] - 1
    found = [first + (last - first) * step / steps for step in range(steps)] + [last]
    if isinstance(first, int) and isinstance(last, int) and (last - first) % steps == 0:
        return [round(value) for value in found]
    return found


def points(axes: list[Axis], own: Point) -> Iterator[Point]:
    """Every combination of values, the last axis fastest; then the row's own, if it is none."""
    grid = itertools.product(*(axis.values for axis in axes))
    is_there = all(value in axis.values for axis, value in zip(axes, own, strict=True))
    return itertools.chain(grid, [] if is_there else [own])


def changed(settings: Config, part: str, axes: list[Axis], point: Point) -> Config:
    """Settings of a gate or a cache (part) with a point's values."""
    pairs = zip(axes, point, strict=True)
    return settings | {axis.key: value for axis, value in pairs if axis.part == part}


def cache_points(axes: list[Axis], own: Point) -> Iterator[Point]:
    """Of points that differ in the gate alone, one each; values of the gate are the row's own."""
    pairs = zip(axes, own, strict=True)
    of_caches = [axis if axis.part == "cache" else axis._replace(values=[o]) for axis, o in pairs]
    return points(of_caches, own)


def caches_of(known: dict[str, Config], cache: str, axes: list[Axis]) -> list[CountedCache]:
    """The caches that a sweep of a row with `cache` needs counts of.

    known: the configuration's, by name. One that is among them has its name there, and so its
    counts; others are named after `cache` and what is changed. With every hashed one comes the
    exact one, once.
    """
    base = known[cache]
    own = tuple(base[axis.key] if axis.part == "cache" else None for axis in axes)
    found: dict[str, CountedCache] = {}
    for point in cache_points(axes, own):
        settings = changed(base, "cache", axes, point)
        name, exact = _name(known, cache, settings), None
        if settings["kind"] == "hashed":
            without = {key: value for key, value in settings.items() if key != "buckets"}
            without["kind"] = "exact"
            exact = _name(known, cache, without)
            found.setdefault(exact, CountedCache(exact, without, None))
        found[name] = CountedCache(name, settings, exact)
    return list(found.values())


def _name(known: dict[str, Config], cache: str, settings: Config) -> str:
    """The name that a cache has in the configuration, or one that says what is changed."""
    for name in (cache, *known):
        if known[name] == settings:
            return name
    base = known[cache]
    parts = ["exact"] if settings["kind"] != base["kind"] else []
    parts += [
        f"{key}_{settings[key]}"
        for key in CACHE_NUMBERS
        if key in settings and settings[key] != base[key]
    ]
    return "__".join([cache, *parts])
