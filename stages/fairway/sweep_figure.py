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
        axes.set_title(title, fontsize=10, loc="left")
        content = io.BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def _draw(axes: Axes, table: pd.DataFrame) -> None:
    buckets = table["buckets"]
    axes.errorbar(
        buckets,
        table["bpb_normalized"],
        yerr=2 * table["bpb_normalized_error"],
        color="tab:red",
        marker="s",
        capsize=3,
        label="hashed, normalised: reported + E[log₂ Z] (± 2 standard errors)",
    )
    axes.plot(
        buckets,
        table["bpb_reported"],
        color="tab:orange",
        marker="o",
        label="hashed, as reported: Σ −log₂ p, though p sums to Z ≫ 1",
    )
    for column, color, style, label in (
        ("bpb_neural", "0.35", ":", "neural model alone"),
        ("bpb_exact", "tab:green", "--", "exact counts, same orders and gate (a code length)"),
    ):
        axes.axhline(table[column].iloc[0], color=color, linestyle=style, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(buckets)
    axes.set_xlabel("buckets per table")
    axes.set_ylabel("bits per byte")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="lower right", framealpha=0.95)
    for bucket, score, mass in zip(buckets, table["bpb_reported"], table["z_mean"], strict=True):
        axes.annotate(
            f"Z {mass:,.3g}",
            (bucket, score),
            textcoords="offset points",
            xytext=(0, 7),
            ha="center",
            fontsize=7,
            color="tab:orange",
        )
