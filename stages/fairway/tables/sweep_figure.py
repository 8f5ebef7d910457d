"""A sweep as a picture: a line over one number, or a heat map over two."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fairway.tables.report.style import GREY, INK, color, grid, legend, new_figure
from fairway.tables.sweep import BEST, BEST_HALF, HALVES, OWN, Swept, written

_HEIGHT = 3.4  # inches
_WIDE = 64  # a ratio of values from which on an axis is drawn by powers of two
_MOST_LABELS = 12  # that have room for a Z each


def sweep_figure(swept: Swept) -> Figure:
    """Over one number the scores of all its values. Over more, a heat map of the two with most.

    Each cell is then the best over the other numbers.
    """
    figure, axes = new_figure(_HEIGHT)
    long = sorted(swept.axes, key=lambda axis: -len(set(swept.table[axis.key])))
    if len(long) == 1:
        _lines(axes, swept, long[0].key)
    else:
        _heat_map(figure, axes, swept, *(axis.key for axis in long[:2]))
    figure.suptitle(swept.title, fontsize=9)
    return figure


def _lines(axes: Axes, swept: Swept, key: str) -> None:
    table = swept.table.sort_values(key)
    x = table[key]
    if swept.is_hashed:
        error = 2 * table["bpb_normalized_error"]
        style = {"color": color(5), "marker": "s", "markersize": 3.5, "capsize": 2}
        label = "normalised: reported + E[log₂ Z]"
        axes.errorbar(x, table["bpb_normalized"], yerr=error, label=label, **style)
        axes.plot(x, table["bpb"], color=color(1), marker="o", markersize=4, label="reported")
        axes.plot(x, table["bpb_exact"], "--", color=color(2), label="exact counts, same gate")
        if swept.model_bpb is not None:
            axes.axhline(swept.model_bpb, color=GREY, linestyle=":", label="model alone")
        axes.set_ylim(bottom=0)
    elif swept.is_split:
        for index, half in enumerate(HALVES):
            label = half.removeprefix("bpb_").replace("_", " ")
            axes.plot(x, table[half], color=color(index), marker=".", label=label)
    else:
        axes.plot(x, table["bpb"], color=color(0), marker=".", label="bits per byte")
    shown = HALVES[0] if swept.is_split else "bpb"
    for line, name, marker in _marked(swept):
        axes.plot(line[key], line[shown], marker, color=INK, fillstyle="none", ms=9, label=name)
    _scale(axes, key, x)
    if swept.is_hashed and len(table) <= _MOST_LABELS:
        _masses(axes, table, key)
    axes.set_ylabel("bits per byte")
    grid(axes)
    legend(axes)


def _masses(axes: Axes, table: pd.DataFrame, key: str) -> None:
    """Mean Z of every setting under its value."""
    ticks = zip(table[key], table["z_mean"], strict=True)
    labels = [f"{_written(value)}\nZ {mass:,.3g}" for value, mass in ticks]
    axes.set_xticks(table[key], labels, fontsize=7)
    axes.set_xlabel(f"{key}, and the mean Z")


def _written(value: float) -> str:
    """A value as an axis has it: powers of two by their exponent."""
    power = math.log2(value) if value > 0 else 0.5
    return f"$2^{{{power:.0f}}}$" if power >= 6 and power == int(power) else written(value)


def _heat_map(figure: Figure, axes: Axes, swept: Swept, first: str, second: str) -> None:
    shown = HALVES[0] if swept.is_split else "bpb"
    cells = swept.table.pivot_table(shown, index=second, columns=first, aggfunc="min")
    values = cells.to_numpy()
    most = float(np.nanquantile(values, 0.9))  # a few far-off settings would hide all others
    picture = axes.pcolormesh(
        cells.columns, cells.index, values, cmap="viridis_r", vmax=most, rasterized=True
    )
    what = "bits per byte, first half" if swept.is_split else "bits per byte"
    figure.colorbar(picture, ax=axes, label=what, extend="max")
    for line, name, marker in _marked(swept):
        at = line[first], line[second]
        axes.plot(*at, marker, color="white", ms=10, mew=3.5, fillstyle="none")
        axes.plot(*at, marker, color="black", ms=10, mew=1.5, fillstyle="none", label=name)
    _scale(axes, first, cells.columns)
    if _is_wide(cells.index):
        axes.set_yscale("log", base=2)
    axes.set_ylabel(second)
    legend(axes, 1)


def _marked(swept: Swept) -> list[tuple[pd.Series, str, str]]:
    """The lines that are pointed at: their names and markers."""
    best = BEST_HALF if swept.is_split else BEST
    return [(swept.own, OWN, "D"), (swept.best, best, "o")]


def _scale(axes: Axes, key: str, values: pd.Series) -> None:
    if _is_wide(values):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(set(values)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(key)


def _is_wide(values: pd.Series) -> bool:
    return min(values) > 0 and max(values) >= _WIDE * min(values)
