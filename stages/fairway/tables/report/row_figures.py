"""Pictures of the rows: the ladder, where their nats lie, how they mix, their calibration."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fairway.gates.match import MatchGate
from fairway.rows.profile import Profile
from fairway.tables.inputs import RowLedger
from fairway.tables.report.style import GREEN, INK, RED, YELLOW, color, grid, legend, new_figure

PARTS = ("network", "memory", "code")  # of what a row's decoder needs
MOST_LINES = 8  # rows in one picture, the last ones of the ladder
SMOOTHING = 9  # stretches of the text that a point of the curve along it is over
ENTROPY = np.linspace(0, 7, 141)  # nats


def ladder(summary: pd.DataFrame, seeds: pd.DataFrame, intervals: Mapping[str, tuple]) -> Figure:
    """A waterfall: each row goes on from the row above. Bits per byte.

    intervals: by row, the bounds of the mean's interval (nan for one seed).
    """
    figure, axes = new_figure(0.62 + 0.36 * len(summary))
    before = summary["bpb_mean"].shift()
    for place, row in enumerate(summary.itertuples()):
        start = before.iloc[place]
        better = math.isnan(start) or row.bpb_mean <= start
        tone = GREEN if row.is_code_length else YELLOW
        if not math.isnan(start):
            bar = {"color": tone, "alpha": 0.35 if better else 0.18, "height": 0.62}
            axes.barh(place, row.bpb_mean - start, left=start, **bar)
        own = seeds.loc[seeds["row"] == row.row, "bpb"]
        axes.plot(own, [place] * len(own), "o", color=tone, markersize=3.5)
        low, high = intervals[row.row]
        if not math.isnan(low):
            axes.plot([low, high], [place, place], color=INK, linewidth=1.2)
        if abs(row.bpb_normalized_mean - row.bpb_mean) > 1e-6:
            normalized = row.bpb_normalized_mean
            axes.plot(normalized, place, "D", color=RED, fillstyle="none", markersize=5)
        axes.annotate(
            *(f"{row.bpb_mean:.4f}", (row.bpb_mean, place), (0, 6)),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    axes.set_yticks(range(len(summary)), summary["row"])
    axes.set_ylim(len(summary) - 0.4, -0.75)
    axes.set_xlim(left=0)
    axes.set_xlabel("bits per byte")
    grid(axes, "x")
    return figure


def bytes_by_row(ledgers: Mapping[str, RowLedger]) -> Figure:
    """What each row's decoder needs, part on part, beside the limit. MB."""
    figure, axes = new_figure(0.9 + 0.26 * len(ledgers))
    for place, ledger in enumerate(ledgers.values()):
        left = 0.0
        sizes = ledger.largest.network_bytes, ledger.memory_bytes, ledger.bundle_bytes
        for index, (part, size) in enumerate(zip(PARTS, sizes, strict=True)):
            label = part if place == 0 else None
            axes.barh(place, size / 1e6, left=left, color=color(index), height=0.62, label=label)
            left += size / 1e6
        axes.plot([ledger.limit_bytes / 1e6] * 2, [place - 0.45, place + 0.45], color=RED)
    axes.set_yticks(range(len(ledgers)), list(ledgers))
    axes.set_ylim(len(ledgers) - 0.4, -0.6)
    axes.set_xlabel("MB (10⁶ bytes); red: the limit")
    grid(axes, "x")
    legend(axes, 3)
    return figure


def by_order(profiles: Mapping[str, Profile]) -> tuple[Figure, Figure]:
    """Share of all nats, and how often the token had been seen, by the order that matched."""
    shares, share_axes = new_figure(2.9)
    hits, hit_axes = new_figure(2.9)
    for index, (row, profile) in enumerate(list(profiles.items())[-MOST_LINES:]):
        orders = np.arange(len(profile.order_nats))
        kept = profile.order_targets > 0
        style = {"marker": ".", "linewidth": 1.2, "color": color(index), "label": row}
        share = profile.order_nats / profile.order_nats.sum()
        share_axes.plot(orders[kept], share[kept], **style)
        rate = profile.order_hits[kept] / profile.order_targets[kept]
        matched = orders[kept] > 0
        hit_axes.plot(orders[kept][matched], rate[matched], **style)
    share_axes.set_ylabel("share of the row's nats")
    hit_axes.set_ylabel("token was among those seen")
    for axes in (share_axes, hit_axes):
        axes.set_xlabel("order that matched (0: none)" if axes is share_axes else "order")
        axes.set_ylim(bottom=0)
        grid(axes)
        legend(axes)
    return shares, hits


def along_text(profiles: Mapping[str, Profile]) -> Figure:
    """Bits per byte along the text, each point over nine of its 256 stretches."""
    figure, axes = new_figure(3.0)
    window = np.ones(SMOOTHING)
    for index, (row, profile) in enumerate(list(profiles.items())[-MOST_LINES:]):
        nats = np.convolve(profile.stretch_nats, window, "valid")
        size = np.convolve(profile.stretch_bytes, window, "valid")
        place = (np.arange(len(nats)) + SMOOTHING / 2) / len(profile.stretch_nats)
        bits = nats / math.log(2) / np.maximum(size, 1)
        axes.plot(100 * place, bits, linewidth=1.1, color=color(index), label=row)
    axes.set_xlabel("% of the validation text")
    axes.set_ylabel("bits per byte")
    axes.set_ylim(bottom=0)
    grid(axes)
    legend(axes)
    return figure


def gate_curves(gates: Mapping[str, tuple[MatchGate, int]], orders: Sequence[int]) -> Figure:
    """α, the cache's share, over the model's entropy, for some matched orders of each gate.

    gates: each with the highest order that it is used at, which is drawn too, and none above it.
    """
    figure, axes = new_figure(2.9)
    for index, (name, (gate, highest)) in enumerate(gates.items()):
        drawn = [order for order in orders if order < highest] + [highest]
        thresholds = {float(gate.thresholds[order]): order for order in drawn}
        for strength, (threshold, order) in enumerate(sorted(thresholds.items())):
            sigmoid = 1 / (1 + np.exp(-gate.slope * (ENTROPY - threshold)))
            label = name if len(thresholds) == 1 else f"{name}, order {order}"
            axes.plot(
                *(ENTROPY, gate.alpha_low + gate.alpha_span * sigmoid),
                color=color(index),
                alpha=1 - 0.6 * strength / max(1, len(thresholds) - 1),
                linewidth=1.3,
                label=label,
            )
    axes.set_xlabel("entropy of the model's distribution, nats")
    axes.set_ylabel("α: the cache's share")
    axes.set_ylim(0, 1)
    grid(axes)
    legend(axes)
    return figure


def calibration(bins: Mapping[str, np.ndarray]) -> Figure:
    """How often tokens came over what they had been given; (bins, 3) by row, of the witness."""
    figure, axes = new_figure(3.4)
    axes.plot([1e-6, 1], [1e-6, 1], color=INK, alpha=0.4, linewidth=0.8, linestyle="--")
    for index, (row, found) in enumerate(list(bins.items())[-MOST_LINES:]):
        number, mass, came = found.T
        kept = came > 0
        given, seen = mass[kept] / number[kept], came[kept] / number[kept]
        error = np.sqrt(came[kept]) / number[kept]
        error = np.stack([np.minimum(error, 0.7 * seen), error])  # an axis of powers has no 0
        style = {"color": color(index), "label": row, "marker": ".", "linewidth": 1.0}
        axes.errorbar(given, seen, yerr=error, elinewidth=0.6, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("probability given")
    axes.set_ylabel("share that came")
    grid(axes)
    legend(axes)
    return figure
