"""A sweep's table: a line for every setting of a row's gate and cache, and which is the best.

The best is fitted on the text that it is scored on; the table, the note and the picture say so.
A hashed row's lines also say what its score is worth. Its p sums over the vocabulary to Z;
charging log2 Z at every target makes p a distribution, so its code length in bits per byte is
reported + E[log2 Z]·targets / bytes, with E over the audit's sample of targets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fairway.audit.verdict import standard_error
from fairway.rows.grid import Axis, Point
from fairway.tables.ladder import difference
from fairway.tables.statistics import Difference

OWN = "the row's own"
BEST = "best, fitted on the validation text"
BEST_HALF = "best, fitted on the first half"
HALVES = ("bpb_first_half", "bpb_second_half")


@dataclass(frozen=True)
class Swept:
    """One sweep: its axes, and a line for each setting.

    table: axis keys, bpb and what else is known, and `note`, OWN and BEST where they hold. seed,
    model_bpb: of the model, the latter its own score, for the picture; None in a row without one.
    gain: the best less the row's own, in bits per byte over documents, those of the second half
    where the first chose; None if they are one.
    """

    name: str
    row: str
    seed: int | None
    axes: list[Axis]
    table: pd.DataFrame
    model_bpb: float | None
    gain: Difference | None

    @property
    def title(self) -> str:
        """Row, seed and number of settings, in a line."""
        count = len(self.table)
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.row}{seed}: {count:,} setting{'s' if count > 1 else ''}"

    @property
    def is_split(self) -> bool:
        return HALVES[0] in self.table

    @property
    def is_hashed(self) -> bool:
        return "bpb_normalized" in self.table

    def line(self, which: str) -> pd.Series:
        """The line of OWN or of the best."""
        return self.table[self.table["note"].str.contains(which, regex=False)].iloc[0]

    @property
    def own(self) -> pd.Series:
        return self.line(OWN)

    @property
    def best(self) -> pd.Series:
        return self.line("best, fitted")


def scores(nats: np.ndarray, sizes: Sequence[int]) -> dict[str, np.ndarray]:
    """Columns of bits per byte. nats: (settings, parts); sizes: bytes of each part, one or two."""
    whole = np.array([math.fsum(parts) for parts in nats]) / math.log(2) / sum(sizes)
    if len(sizes) == 1:
        return {"bpb": whole}
    by_part = nats / math.log(2) / np.array(sizes)
    return {"bpb": whole} | dict(zip(HALVES, by_part.T, strict=True))


def hashed_columns(
    bpb: np.ndarray,
    mass: np.ndarray,
    exact_bpb: np.ndarray,
    order: np.ndarray,
    exact_order: np.ndarray,
    size: int,
) -> dict[str, Any]:
    """What the settings of one hashed cache are worth.

    bpb, exact_bpb: (settings,), with its counts and with those without collisions; order,
    exact_order: that matched at every target, (targets,); mass: Z, (settings, sampled targets);
    size: bytes. collision_fraction: of the matches, how many are at an order that never occurred
    often enough. bpb_normalized_error: standard error, from the sample of Z.
    """
    collided = order > exact_order
    matched, log2_mass = order > 0, np.log2(mass)
    per_byte = len(order) / size
    return {
        "matched_fraction": float(matched.mean()),
        "collision_fraction": float(collided[matched].mean()) if matched.any() else 0.0,
        "z_mean": mass.mean(axis=1),
        "z_max": mass.max(axis=1),
        "bpb_normalized": bpb + log2_mass.mean(axis=1) * per_byte,
        "bpb_normalized_error": standard_error(log2_mass, len(order)) * per_byte,
        "bpb_exact": exact_bpb,
    }


def noted(axes: list[Axis], points: Sequence[Point], own: Point, found: pd.DataFrame):
    """The whole table: axis columns before what was found of each point, notes behind."""
    table = pd.DataFrame(points, columns=[axis.key for axis in axes])
    table = pd.concat([table, found], axis=1)
    chosen_by, name = (HALVES[0], BEST_HALF) if HALVES[0] in table else ("bpb", BEST)
    notes = [OWN if point == own else "" for point in points]
    best = int(table[chosen_by].idxmin())
    notes[best] = "; ".join(filter(None, [notes[best], name]))
    return table.assign(note=notes)


def note(swept: Swept) -> str:
    """The sweep in words, Markdown."""
    columns = dict(zip(HALVES, ("BPB, first half", "BPB, second half"), strict=True))
    columns = columns if swept.is_split else {"bpb": "BPB"}
    if swept.is_hashed:
        columns |= {"z_mean": "mean Z", "bpb_normalized": "normalised BPB"}
    keys = [axis.key for axis in swept.axes]
    gains = ("", "" if swept.gain is None else _marked(swept.gain))
    lines = [
        f"# Sweep `{swept.name}`",
        "",
        f"{swept.title}, of {', '.join(keys)}, on the same scores.",
        "",
        f"| | {' | '.join([*keys, *columns.values(), 'less own'])} |",
        f"|---|{'--:|' * (len(keys) + len(columns) + 1)}",
    ]
    both = (OWN, swept.own), (BEST_HALF if swept.is_split else BEST, swept.best)
    for (name, line), gain in zip(both, gains, strict=True):
        cells = [written(line[key]) for key in keys] + [f"{line[key]:.4f}" for key in columns]
        lines.append(f"| {' | '.join([name, *cells, gain])} |")
    return "\n".join([*lines, "", _chance(swept), "", _worth(swept)]) + "\n"


def written(value: float) -> str:
    """A setting: all digits of a whole number, six of another."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.6g}"


def _marked(gain: Difference) -> str:
    return difference(gain.mean, "documents" if gain.low <= 0 <= gain.high else "")


def _chance(swept: Swept) -> str:
    """Whether another text might have chosen otherwise."""
    if swept.gain is None:
        return "The row's own setting is the best."
    if math.isnan(swept.gain.low):
        return "There are too few documents to say how much of the difference is chance."
    low, high = swept.gain.low, swept.gain.high
    where = " of the second half" if swept.is_split else ""
    verdict = "≈: within noise, since it holds 0" if low <= 0 <= high else "beyond noise"
    training = "" if swept.seed is None else "; one seed, so of training's noise it says nothing"
    return (
        f"Less own: over the documents{where}, its 95 % interval is {low:+.4f} to {high:+.4f} "
        f"({verdict}{training})."
    )


def _worth(swept: Swept) -> str:
    """What the best setting's score may be taken for."""
    text = "It was chosen by the text that it is scored on, so its score is no result."
    if swept.is_split:
        text = (
            "It was chosen by the first half. The second had no part in that: there it may be "
            "compared with the row's own."
        )
    if swept.is_hashed:
        text += " Counts of hashes collide: neither score is a code length."
    return f"{text} It enters no other table."
