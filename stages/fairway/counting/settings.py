"""Settings of n-gram caches and memories, checked; no numpy and no numba, so that the Snakefile
has them too.

What the kinds of caches do is said in `fairway.counting.caches`, what a memory is in
`fairway.counting.memories`.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, NotRequired, Self, TypedDict

from fairway.corpus.windows import RankedWindows
from fairway.files.records import Within
from fairway.files.spec import Count, Name
from fairway.stage import StageError

MAX_ORDER = 64
MAX_BUCKETS = 1 << 31  # keys are uint32, and one more counter is kept
KIND_KEYS = {  # keys in which only this kind has a choice
    "hashed": frozenset({"buckets"}),
    "exact": frozenset({"update", "output"}),
}
_BESIDE = "memory_settings"  # stands with a cache's settings, not among them
MEMORY_KEYS = {  # the same for the budget of a memory
    "all": frozenset(),
    **dict.fromkeys(("documents", "tokens", "bytes"), frozenset({"size"})),
}


class MemoryEntry(TypedDict):
    """An entry of `memories`, as written; see MemorySettings."""

    budget: Literal["all", "documents", "tokens", "bytes"]
    size: Count | None
    compressor: str


class PackedMemory(MemoryEntry):
    """What pack_memory depends on. memory: its name."""

    memory: Name
    artifact_bytes: Count


class CacheEntry(TypedDict):
    """An entry of `caches`, as written, with that of its memory; see CacheSettings."""

    kind: Literal["hashed", "exact"]
    max_order: Count
    min_order: Count
    buckets: NotRequired[Annotated[int, Within(1, MAX_BUCKETS)] | None]
    min_count: Count
    prefill: bool
    update: Literal["segment", "token"]
    cross_documents: bool
    output: Literal["match", "orders"]
    memory: Name | None
    memory_settings: NotRequired[MemoryEntry]


class CountSettings(RankedWindows):
    """What counts depend on."""

    cache_settings: CacheEntry


@dataclass(frozen=True)
class CacheSettings:
    """One n-gram cache.

    kind: hashed or exact. Orders min_order … max_order are counted; order n has n−1 context
    tokens. buckets: per table, hashed only. min_count: a context seen less often is no match.
    prefill: a rank first counts every target of the ranks before it; without, each rank starts
    empty. update: when a target is counted: after its segment, or (exact only) right after itself.
    cross_documents: whether a context may reach back over a BOS; if not, it may begin at its
    document's BOS but not before it. output: match (first order from the top with enough counts)
    or orders (every order, exact only). memory: name of the text that is counted before all
    others; null for none.
    """

    kind: str
    max_order: int
    min_order: int = 2
    buckets: int | None = None
    min_count: int = 2
    prefill: bool = True
    update: str = "segment"
    cross_documents: bool = True
    output: str = "match"
    memory: str | None = None

    def __post_init__(self) -> None:
        _one_of("cache.kind", self.kind, tuple(KIND_KEYS))
        exact = self.kind == "exact"
        _one_of("cache.update", self.update, ("segment", "token") if exact else ("segment",))
        _one_of("cache.output", self.output, ("match", "orders") if exact else ("match",))
        _whole("cache.max_order", self.max_order, 1, MAX_ORDER)
        _whole("cache.min_order", self.min_order, 1, self.max_order)
        _whole("cache.min_count", self.min_count, 1, 2**32 - 1)
        _one_of("cache.prefill", self.prefill, (True, False))
        _one_of("cache.cross_documents", self.cross_documents, (True, False))
        if self.memory is not None:
            _one_of("cache.prefill", self.prefill, (True,))  # what ranks begin with is one text
        if exact:
            _one_of("cache.buckets", self.buckets, (None,))
        else:
            _whole("cache.buckets", self.buckets, 1, MAX_BUCKETS)
            if self.buckets & (self.buckets - 1):
                raise StageError(f"cache.buckets: {self.buckets}; expected a power of two")

    @property
    def orders(self) -> int:
        """How many orders are counted."""
        return self.max_order + 1 - self.min_order

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """Check and complete a cache's settings; those of its memory may stand beside them.

        Raises StageError naming the key, the value found and what was expected.
        """
        known = {field.name for field in fields(cls)}
        for key in settings:
            if key not in known and key != _BESIDE:
                raise StageError(f"cache.{key}: unknown key; expected one of {sorted(known)}")
        for key in ("kind", "max_order"):
            if key not in settings:
                raise StageError(f"cache.{key}: missing")
        return cls(**{key: value for key, value in settings.items() if key in known})


@dataclass(frozen=True)
class MemorySettings:
    """One memory: the last of the training text.

    budget: what `size` counts, documents, tokens or bytes of the packed file; or all of the text,
    and no size. compressor: lzma, zstd or brotli.
    """

    budget: str
    size: int | None = None
    compressor: str = "lzma"

    def __post_init__(self) -> None:
        _one_of("memory.budget", self.budget, tuple(MEMORY_KEYS))
        _one_of("memory.compressor", self.compressor, ("lzma", "zstd", "brotli"))
        if self.budget == "all":
            _one_of("memory.size", self.size, (None,))
        else:
            _whole("memory.size", self.size, 1, 2**63 - 1)

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """From a memory's entry in the configuration; other keys may stand beside its own."""
        known = [field.name for field in fields(cls)]
        return cls(**{key: settings[key] for key in known if key in settings})


def _one_of(key: str, value: object, expected: tuple) -> None:
    if not any(
        value is choice or (value == choice and type(choice) is str) for choice in expected
    ):
        choices = " or ".join(str(choice) for choice in expected)
        raise StageError(f"{key}: {value}; expected {choices}")


def _whole(key: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise StageError(f"{key}: {value}; expected a whole number from {low} to {high}")
