"""Each row beside the row above it and beside given scores: differences, intervals, p-values.

Two kinds of chance are told apart. Over *seeds* another training would have come out differently:
pairs of the same seed where both rows have them, Welch's test otherwise. Over *documents* another
text would have: a bootstrap on one seed, which has an interval also between two gates on one
model. A difference is *within noise* when either interval holds 0.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fairway.rows.profile import Profile
from fairway.tables.statistics import (
    Difference,
    better_p,
    bootstrap_documents,
    mean_interval,
    paired_difference,
    seeds_needed,
    welch_difference,
)

MARGIN_NATS, MARGIN_LEVEL = 0.005, 0.01  # the contest's first rule: better by so much, at this p
ONE_SEED = "one seed"  # and no documents: nothing can be said
NONE = Difference(math.nan, math.nan, math.nan, math.nan)


def comparisons(
    seeds: pd.DataFrame,
    profiles: Mapping[str, Profile],
    references: Mapping[str, Sequence[float]],
    generator: np.random.Generator,
) -> pd.DataFrame:
    """One line per row and what it is compared with: the row above, then each reference.

    seeds: rows in config order with bpb, nats, targets; profiles: of each row's first seed;
    references: bits per byte by name. The first row has a line without a comparison.
    """
    lines, names = [], list(seeds["row"].drop_duplicates())
    of_row = {name: seeds[seeds["row"] == name].set_index("seed") for name in names}
    over_documents = _over_documents(names, profiles, generator)
    for above, name in zip([None, *names], names, strict=False):
        documents = over_documents.get(name, NONE)
        lines.append(_against_row(name, of_row[name], above, of_row.get(above), documents))
        for reference, scores in references.items():
            lines.append(_against_scores(name, of_row[name], reference, scores))
    return pd.DataFrame(lines)


def noise_of_delta(compared: pd.DataFrame) -> dict[str, str]:
    """Which chance may have made a row's difference to the row above it, by row; see `noise`."""
    first = compared.drop_duplicates("row")
    first = first[first["against"].notna()]
    return dict(zip(first["row"], first["noise"], strict=True))


def _line(name: str, own: pd.DataFrame, against: str | None) -> dict[str, Any]:
    interval = mean_interval(own["bpb"])
    std = own["bpb"].std(ddof=1)
    bounds = {"bpb_low": interval.low, "bpb_high": interval.high}
    return {"row": name, "seeds": interval.n, "bpb_mean": interval.mean, "bpb_std": std} | (
        bounds | {"against": against}
    )


def _over_documents(names, profiles, generator) -> dict[str, Difference]:
    """Each row less the row above it, over documents; both have to be of the first one's text."""
    if not profiles:
        return {}
    sizes = next(iter(profiles.values())).document_bytes
    there = {row for row, of in profiles.items() if np.array_equal(of.document_bytes, sizes)}
    pairs = [pair for pair in itertools.pairwise(names) if there.issuperset(pair)]
    nats = [(profiles[new].document_nats, profiles[old].document_nats) for old, new in pairs]
    found = bootstrap_documents(nats, sizes, generator)
    return {new: of_pair for (_, new), of_pair in zip(pairs, found, strict=True)}


def _against_row(name, own, above, old, documents) -> dict[str, Any]:
    line = _line(name, own, above)
    if old is None:
        return line | _figures(NONE, NONE) | _documents(NONE) | {"noise": None}
    shared = [seed for seed in own.index if seed in old.index]
    paired = paired_difference(own.loc[shared, "bpb"], old.loc[shared, "bpb"]) if shared else NONE
    figures = _figures(paired, welch_difference(own["bpb"], old["bpb"]))
    if not shared:
        figures |= {key: figures[f"welch_{key}"] for key in ("difference", "low", "high")}
    per_token = [part["nats"] / part["targets"] for part in (own, old)]
    std = math.sqrt((own["bpb"].var(ddof=1) + old["bpb"].var(ddof=1)) / 2)
    figures["better_p"] = better_p(own["bpb"], old["bpb"])
    figures["margin_p"] = better_p(*per_token, MARGIN_NATS)
    figures["seeds_needed"] = (
        None if math.isnan(std) else seeds_needed(figures["difference"], std, MARGIN_LEVEL)
    )
    return line | figures | _documents(documents) | {"noise": noise(figures, documents)}


def _against_scores(name, own, reference, scores) -> dict[str, Any]:
    welch = welch_difference(own["bpb"], scores)
    figures = _figures(NONE, welch)
    figures |= {"difference": welch.mean, "low": welch.low, "high": welch.high}
    figures["better_p"] = better_p(own["bpb"], scores)
    line = _line(name, own, reference) | figures | _documents(NONE)
    return line | {"noise": noise(figures, NONE)}


def _figures(paired: Difference, welch: Difference) -> dict[str, Any]:
    return {
        "difference": paired.mean,
        "low": paired.low,
        "high": paired.high,
        "paired_p": paired.p,
        "welch_difference": welch.mean,
        "welch_low": welch.low,
        "welch_high": welch.high,
        "welch_p": welch.p,
        "better_p": math.nan,
        "margin_p": math.nan,
        "seeds_needed": None,
    }


def _documents(found: Difference) -> dict[str, float]:
    return {f"document_{key}": value for key, value in found._asdict().items()}


def noise(figures: Mapping[str, Any], documents: Difference) -> str:
    """Which chance may have made the difference: '', 'seeds', 'documents' or both, or ONE_SEED.

    With one seed and no interval over documents nothing can be said.
    """
    if math.isnan(figures["low"]) and math.isnan(documents.low):
        return ONE_SEED
    parts = (("seeds", figures["low"], figures["high"]), ("documents", *documents[1:3]))
    return "+".join(name for name, low, high in parts if low <= 0 <= high)
