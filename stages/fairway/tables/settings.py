"""What the tables are made of: rows in order, and the specs under which all jobs must have run."""

from typing import Annotated, TypedDict

from fairway.files.records import Within
from fairway.files.spec import Count, Name, Ranks, Seed, Size

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
