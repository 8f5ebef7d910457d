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

from fairway.rows.grid import Axis, Point

OWN = "the row's own"
BEST = "best, fitted on the validation text"
BEST_HALF = "best, fitted on the first half"
HALVES = ("bpb_first_half", "bpb_second_half")


@dataclass(frozen=True)
class Swept:
    """One sweep: its axes, and a line for each setting.

    table: axis keys, bpb and what else is known, and `note`, OWN and BEST where they hold.
    model_bpb: of the model alone, for the picture.
    """

    name: str
    row: str
    seed: int
    axes: list[Axis]
    table: pd.DataFrame
    model_bpb: float

    @property
    def title(self) -> str:
        """Row, seed and number of settings, in a line."""
        count = len(self.table)
        return f"{self.row}, seed {self.seed}: {count:,} setting{'s' if count > 1 else ''}"

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
    error = log2_mass.std(axis=1, ddof=1) / math.sqrt(mass.shape[1])
    return {
        "matched_fraction": float(matched.mean()),
        "collision_fraction": float(collided[matched].mean()) if matched.any() else 0.0,
        "z_mean": mass.mean(axis=1),
        "z_max": mass.max(axis=1),
        "bpb_normalized": bpb + log2_mass.mean(axis=1) * per_byte,
        "bpb_normalized_error": error * per_byte,
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
    lines = [
        f"# Sweep `{swept.name}`",
        "",
        f"{swept.title}, of {', '.join(keys)}, on the same scores.",
        "",
        f"| | {' | '.join([*keys, *columns.values()])} |",
        f"|---|{'--:|' * (len(keys) + len(columns))}",
    ]
    for name, line in ((OWN, swept.own), (BEST_HALF if swept.is_split else BEST, swept.best)):
        cells = [f"{line[key]:.6g}" for key in keys] + [f"{line[key]:.4f}" for key in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", _worth(swept)]) + "\n"


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
