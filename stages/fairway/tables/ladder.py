"""The ablation ladder: what the summary's rows add to each other, as a table that people read."""

import math
from typing import Any

import pandas as pd

from fairway.corpus.manifest import Overlap
from fairway.rows.entry import NONE

NOISE = {"seeds", "documents", "seeds+documents"}  # of which a difference may have come
SHOWN = 5e-5  # bits per byte: less is rounded away by the table


def ablation_table(summary: pd.DataFrame) -> pd.DataFrame:
    """The ladder: the columns that tell what each row adds and whether it can be decoded."""
    columns = ["row", "bpb_mean", "bpb_std", "delta_bpb", "z_mean", "bpb_normalized_mean"]
    return summary[[*columns, "is_code_length", "text", "within_noise"]]


def code_length(row: Any) -> str:
    """What a line of the table says: of which text its score is a code length."""
    if not row.is_code_length:
        return "no"
    return "yes" if row.text == "original" else "of the decoded text"


def bytes_line(summary: pd.DataFrame) -> str:
    """What the nats were divided by, of a summary's only corpus."""
    size, original, text = summary.loc[0, ["bytes", "original_bytes", "text"]]
    divided = f"Divided by {size:,} bytes"
    if text == "original":
        return f"{divided}, the original text, which the tokens give back byte for byte."
    if pd.isna(original):
        return f"{divided}, the text that the tokens decode to; the original is not known."
    return (
        f"{divided}, the text that the tokens decode to. That is not the original of "
        f"{original:,} bytes, so no score is a code length of the original."
    )


def sampling_line(summary: pd.DataFrame) -> str:
    """How exact the normalised BPB of a summary's rows are; nothing where they are exact."""
    errors = summary["bpb_normalized_error_max"]
    if errors.isna().any():
        return " Z is measured at one target, so the normalised BPB's standard error is not known."
    if errors.max() < SHOWN:
        return ""
    return (
        " Z is measured at sampled targets: the normalised BPB's standard error is at most "
        f"{errors.max():.2g} bits per byte."
    )


def difference(delta: float, noise: str) -> str:
    """A difference in bits per byte as a table shows it, marked if it is within noise."""
    if math.isnan(delta):
        return ""
    return f"{delta:+.4f}{' ≈' if noise in NOISE else ''}"


def noise_legend(summary: pd.DataFrame) -> list[str]:
    """What the mark of a table's differences means, and of which noise nothing can be said."""
    lines = []
    if set(summary["within_noise"]) & NOISE:
        lines.append(
            "≈: within noise, since the 95 % interval of the difference holds 0, over seeds or "
            "over documents; `statistics.csv` says over which."
        )
    if ((summary["seeds"] == 1) & (summary["model"] != NONE)).any():
        lines.append("One seed: of the noise between seeds nothing can be said.")
    return lines


def ablation_markdown(
    summary: pd.DataFrame, seeds: list[int], overlap: Overlap | None = None
) -> str:
    """The ladder as a Markdown table with its legend. overlap: of the texts, for its last note."""
    lines = [
        "| row | BPB | std | delta | mean Z | normalised BPB | code length? |",
        "|---|--:|--:|--:|--:|--:|:-:|",
    ]
    for row in ablation_table(summary).itertuples():
        std = "" if math.isnan(row.bpb_std) else f"{row.bpb_std:.4f}"
        delta = difference(row.delta_bpb, row.within_noise)
        lines.append(
            f"| {row.row} | {row.bpb_mean:.4f} | {std} | {delta} | {row.z_mean:,.4g} | "
            f"{row.bpb_normalized_mean:.4f} | {code_length(row)} |"
        )
    sizes = (
        f"largest artifact {summary['artifact_bytes_max'].max():,} bytes, with memory and the "
        "code of its decoder, or of scoring where no decoder can be"
    )
    late = [f"{row.row} ({row.over_budget})" for row in summary.itertuples() if row.over_budget]
    lines += [
        "",
        f"Mean and sample standard deviation over seeds {', '.join(map(str, seeds))}; {sizes}. "
        "Z is the total mass that the row's rule gives to the whole vocabulary: where it is not "
        "1, BPB is not a code length, and the normalised BPB charges log2 Z for it."
        f"{sampling_line(summary)}",
        "",
        bytes_line(summary),
    ]
    lines += [f"\n{line}" for line in noise_legend(summary)]
    if (summary["model"] == NONE).any():
        lines.append("\nA row without a model has one score: nothing in it is drawn.")
    if overlap:
        lines.append(f"\n{overlap.in_words()}")
    if late:
        lines.append(f"\nOver the contest's time limits: {', '.join(late)}.")
    return "\n".join(lines) + "\n"
