"""What the tables are made of: rows in order, and the specs under which all jobs must have run;
and what a sweep is: numbers of a row, and the caches that these need.
"""

from typing import Annotated, Literal, TypedDict

from fairway.audit.evidence import Sampling
from fairway.counting.settings import CacheEntry
from fairway.files.records import Within
from fairway.files.spec import Count, Name, Ranks, Seed, Size
from fairway.rows.settings import RowSettings
from fairway.stage import StageError

Seeds = Annotated[list[Seed], Within(1)]
BitsPerByte = Annotated[float, Within(0, 1000)]


class Limits(TypedDict):
    """The `limits` section."""

    artifact_bytes: Count
    train_seconds: Size
    eval_seconds: Size


class TableRow(TypedDict):
    """A row. memory: name of its cache's; decodable: whether it has a proof."""

    name: Name
    model: Name
    cache: Name
    gate: Name
    memory: Name | None
    seeds: Seeds
    decodable: bool


class TableSettings(TypedDict):
    """What aggregate_seeds depends on. jobs: hash of a job's spec by path of its provenance."""

    seeds: Seeds
    ranks: Ranks
    limits: Limits
    references: dict[str, Annotated[list[BitsPerByte], Within(1)]]
    rows: Annotated[list[TableRow], Within(1)]
    jobs: dict[str, str]


class SweptNumber(TypedDict):
    """One number that is swept: as `fairway.rows.grid.Axis`."""

    part: Literal["gate", "cache"]
    key: Name
    values: Annotated[list[Annotated[float, Within(-1e10, 1e10)]], Within(1)]


class SweptCache(TypedDict):
    """A cache that is needed: as `fairway.rows.grid.CountedCache`."""

    name: Name
    settings: CacheEntry
    exact: Name | None


class SweptRow(RowSettings):
    """What sweep_row depends on. seed: whose scores they are."""

    sweep: Name
    split: Literal["none", "half"]
    seed: Seed
    axes: Annotated[list[SweptNumber], Within(1)]
    caches: Annotated[list[SweptCache], Within(1)]
    audit: Sampling


def require_sweep(settings: SweptRow) -> None:
    """Raise StageError unless the caches are there and the swept numbers are the row's."""
    named = {cache["name"]: cache["settings"] for cache in settings["caches"]}
    for name in (settings["cache"], *(cache["exact"] for cache in settings["caches"])):
        if name is not None and name not in named:
            raise StageError(f"sweep {settings['sweep']}: cache {name}; expected it in `caches`")
    own = {"gate": settings["gate"] or {}, "cache": named[settings["cache"]]}
    for axis in settings["axes"]:
        if axis["key"] not in own[axis["part"]]:
            raise StageError(
                f"sweep {settings['sweep']}: {axis['part']} has no number {axis['key']!r}"
            )
