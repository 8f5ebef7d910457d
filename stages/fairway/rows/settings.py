"""What a row's jobs depend on: windows and ranks, its model's name, its cache and its gate."""

from typing import Any, NotRequired

from fairway.corpus.windows import RankedWindows
from fairway.counting.settings import CacheEntry
from fairway.files.spec import Name, Vocabulary
from fairway.gates.settings import GateEntry


class RowSettings(RankedWindows):
    """Entries of the configuration by which a row is mixed; None for what it goes without."""

    row: Name
    model: Name | None
    cache: Name
    cache_settings: CacheEntry | None
    gate: GateEntry | None
    vocabulary: Vocabulary


class RowOfAnyJob(RowSettings):
    """The same in the spec of any of a row's jobs, with what else they take unread."""

    audit: NotRequired[Any]
    claim: NotRequired[Any]
    seeds: NotRequired[Any]
    seed: NotRequired[Any]
    proof: NotRequired[Any]
    decodable: NotRequired[Any]
    memory: NotRequired[Any]
    artifact_bytes: NotRequired[Any]
