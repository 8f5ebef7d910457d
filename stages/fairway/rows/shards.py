"""A row's score and count shards, from its files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairway.corpus.manifest import Manifest
from fairway.corpus.windows import WindowPlan
from fairway.counting.settings import CacheSettings
from fairway.rows.gate import load_counts
from fairway.rows.mixing import RankShard
from fairway.scoring.scores import Scores


def load_shards(
    scores: list[Path], counts: list[Path], settings: dict[str, Any], manifest: Manifest
) -> Iterator[RankShard]:
    """The scores and, for a row with a cache, the counts of rank 0, 1, …, one at a time."""
    plan, ranks = WindowPlan(manifest.val.targets, **settings["windows"]), settings["ranks"]
    cache = settings["cache_settings"]
    counted = CacheSettings.from_settings(cache) if cache else None
    for rank in range(ranks):
        if settings["model"] is None:
            name = f"rank {rank}"
            found = Scores.uniform(*plan.rank_targets(rank, ranks), manifest.vocabulary)
        else:
            name, found = str(scores[rank]), Scores.load(scores[rank])
        yield RankShard(name, found, load_counts(counts[rank], counted) if counted else None)
