"""Pictures of the models: their training, their quantising, what the artifact's bytes are for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fairway.tables.aggregation import EVAL_STEPS, TRAIN_STEPS
from fairway.tables.metrics import Metrics
from fairway.tables.report.style import BLUE, GREY, INK, RED, color, grid, legend, new_figure


def training_curves(metrics: Mapping[int, Metrics], packed: Mapping[int, float]) -> Figure:
    """Training loss (nats per token) over steps, a line a seed; the learning rate's scale below.

    metrics: by seed; packed: by seed, nats per token of the validation text with the packed
    weights, a diamond at the end.
    """
    figure, axes = new_figure(3.2)
    rate = axes.twinx()
    for index, (seed, found) in enumerate(metrics.items()):
        steps, loss = [line.step for line in found.steps], [line.loss for line in found.steps]
        axes.plot(steps, loss, linewidth=1.1, color=color(index), label=f"seed {seed}")
        if seed in packed:
            axes.plot(found.done.steps, packed[seed], "D", color=color(index), markersize=5)
    rate.plot(steps, [line.lr_scale for line in found.steps], color=INK, alpha=0.4, linestyle=":")
    rate.set_ylabel("scale of the learning rate (dotted)")
    rate.set_ylim(0, 4)
    rate.set_yticks([0, 1])
    axes.set_xlabel("step")
    axes.set_ylabel("training loss, nats per token")
    grid(axes)
    legend(axes, 3)
    return figure


def raw_and_averaged(metrics: Mapping[int, Metrics]) -> Figure:
    """Nats per token of one text over steps, by raw weights (dashed) and by averaged ones.

    metrics: by seed.
    """
    figure, axes = new_figure(3.2)
    for index, (seed, found) in enumerate(metrics.items()):
        steps = [line.step for line in found.compared]
        raw = [line.raw_loss for line in found.compared]
        averaged = [line.averaged_loss for line in found.compared]
        look = {"color": color(index), "markersize": 3.5}
        axes.plot(steps, raw, "o--", linewidth=1.0, markerfacecolor="none", **look)
        axes.plot(steps, averaged, "o-", linewidth=1.4, label=f"seed {seed}", **look)
    axes.set_xlabel("step")
    axes.set_ylabel("nats per token of the same text")
    grid(axes)
    legend(axes, 3)
    return figure


def training_speed(metrics: Mapping[int, Metrics]) -> Figure:
    """Thousands of tokens a second over steps, a line a seed."""
    figure, axes = new_figure(2.4)
    for index, (seed, found) in enumerate(metrics.items()):
        speed = [line.tokens_per_second / 1000 for line in found.steps]
        steps = [line.step for line in found.steps]
        axes.plot(steps, speed, linewidth=1.0, color=color(index), label=f"seed {seed}")
    axes.set_xlabel("step")
    axes.set_ylabel("1,000 tokens a second")
    axes.set_ylim(bottom=0)
    grid(axes)
    legend(axes, 3)
    return figure


def quantisation_error(layers: Sequence[Mapping[str, Any]]) -> Figure:
    """Relative output error of every matrix: GPTQ beside rounding to nearest."""
    figure, axes = new_figure(0.7 + 0.17 * len(layers))
    place = np.arange(len(layers))
    for key, label, tone, marker in (
        ("rtn_error", "rounded to nearest", GREY, "o"),
        ("error", "GPTQ", BLUE, "D"),
    ):
        values = [layer[key] for layer in layers]
        axes.plot(values, place, marker, color=tone, markersize=3.5, label=label)
    names = [layer["name"].removesuffix(".weight").removeprefix("blocks.") for layer in layers]
    axes.set_yticks(place, names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("relative error of the outputs")
    grid(axes)
    legend(axes)
    return figure


def ledger_bar(parts: Mapping[str, int], limit: int) -> Figure:
    """Bytes of the artifact by what they are for, beside the limit."""
    figure, axes = new_figure(1.7)
    left = 0
    for index, (name, size) in enumerate(parts.items()):
        axes.barh(0, size / 1e6, left=left / 1e6, color=color(index), label=f"{name} {size:,}")
        left += size
    axes.axvline(limit / 1e6, color=RED, linewidth=1.5)
    axes.annotate(
        *("limit", (limit / 1e6, 0), (-3, 0)),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8,
    )
    axes.set_yticks([])
    axes.set_xlim(0, limit / 1e6 * 1.03)
    axes.set_xlabel("MB (10⁶ bytes)")
    legend(axes)
    return figure


def time_bars(budget: pd.DataFrame) -> Figure:
    """Seconds of each step of training and evaluation, the slowest seed of each row."""
    slowest = budget.sort_values("eval_seconds").groupby("row", sort=False).last()
    slowest = slowest.loc[budget["row"].drop_duplicates()]
    figure, axes = new_figure(0.9 + 0.3 * (len(slowest) + 1))
    labels = ["training", *slowest.index]
    trained = budget.loc[budget["train_seconds"].idxmax(), TRAIN_STEPS]
    before = np.zeros(len(labels))
    for index, step in enumerate([*TRAIN_STEPS, *EVAL_STEPS]):
        values = np.zeros(len(labels))
        if step in TRAIN_STEPS:
            values[0] = trained[step]
        else:
            values[1:] = slowest[step]
        axes.barh(range(len(labels)), values, left=before, color=color(index), label=step)
        before = before + values
    limits = {budget["train_limit"].iloc[0], budget["eval_limit"].iloc[0]}
    for limit in limits:
        axes.axvline(limit, color=RED, linewidth=1.2)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("seconds (the line: the contest's limit)")
    grid(axes, "x")
    legend(axes, 3)
    return figure
