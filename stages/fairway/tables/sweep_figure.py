"""The bucket sweep as a picture: what is reported, what it is worth, and what is true."""

import io

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _DPI = 7.2, 4.4, 110  # inches, dots per inch


def sweep_figure(table: pd.DataFrame, title: str) -> bytes:
    """The PNG of a sweep's table; scores in bits per byte over the number of buckets."""
    with matplotlib.rc_context({"font.size": 10, "axes.spines.right": False}):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI, layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, table)
        axes.set_title(title, fontsize=10)
        content = io.BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _draw(axes: Axes, table: pd.DataFrame) -> None:
    buckets, first = table["buckets"], table.iloc[0]
    left = first["buckets"]
    axes.errorbar(
        buckets,
        table["bpb_normalized"],
        yerr=2 * table["bpb_normalized_error"],
        color="tab:red",
        marker="s",
        capsize=3,
    )
    axes.plot(buckets, table["bpb_reported"], color="tab:orange", marker="o")
    _label(axes, left, first["bpb_normalized"], -40, "normalised: reported + E[log₂ Z]", "tab:red")
    _label(axes, left, first["bpb_reported"], -16, "reported by the hashed cache", "tab:orange")
    above = first["bpb_neural"] > first["bpb_exact"]
    for column, offset, color, style, text in (
        ("bpb_neural", 4 if above else -12, "0.35", ":", "neural model alone"),
        ("bpb_exact", -12 if above else 4, "tab:green", "--", "exact counts, same gate"),
    ):
        axes.axhline(first[column], color=color, linestyle=style)
        _label(axes, left, first[column], offset, text, color)
    axes.set_xscale("log", base=2)
    axes.set_xticks(buckets)
    axes.set_xlabel("buckets per table")
    axes.set_ylabel("bits per byte")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    top = axes.secondary_xaxis("top")
    top.set_xticks(buckets, [f"{mass:,.3g}" for mass in table["z_mean"]])
    top.minorticks_off()
    top.set_xlabel("mean Z: what the probabilities sum to")


def _label(axes: Axes, x: float, y: float, offset: int, text: str, color: str) -> None:
    """Write `text` beside a point; offset: points upwards."""
    axes.annotate(text, (x, y), (0, offset), textcoords="offset points", color=color, fontsize=9)
