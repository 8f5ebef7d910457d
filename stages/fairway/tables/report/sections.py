"""The report's sections: a title, the words that say what to see, tables and pictures."""

import math
from collections.abc import Iterator, Sized
from typing import Any

import pandas as pd

from fairway.tables.comparisons import ONE_SEED
from fairway.tables.ladder import bytes_line, code_length, difference, sampling_line
from fairway.tables.report import model_figures, row_figures
from fairway.tables.report.data import Run
from fairway.tables.report.model_sections import model_sections
from fairway.tables.report.page import Section
from fairway.tables.report.style import styled

GATE_ORDERS = (2, 5, 10)  # and a cache's highest


def sections(run: Run) -> Iterator[Section]:
    """All sections in the order of the page; figures are made when they are asked for."""
    with styled():
        yield _ladder(run)
        yield _validity(run)
        yield _noise(run)
        yield _bytes(run)
        yield from _by_order(run)
        yield _along_text(run)
        yield from _gates(run)
        yield _calibration(run)
        for model in run.models:
            yield from model_sections(run, model)
        yield _time(run)


def _ladder(run: Run) -> Section:
    lines = run.compared.drop_duplicates("row").set_index("row")
    intervals = {row: (lines.bpb_low[row], lines.bpb_high[row]) for row in lines.index}
    figure = row_figures.ladder(run.summary, run.seeds, intervals)
    header = ["row", "BPB", "95 %", "delta", "mean Z", "normalised", "code length?"]
    table = [header]
    for row in run.summary.itertuples():
        half = (intervals[row.row][1] - intervals[row.row][0]) / 2
        table.append(
            [
                row.row,
                f"{row.bpb_mean:.4f}",
                _plain(half, "± {:.4f}"),
                difference(row.delta_bpb, row.within_noise),
                f"{row.z_mean:,.4g}",
                f"{row.bpb_normalized_mean:.4f}",
                code_length(row),
            ]
        )
    words = (
        "Every row goes on from the row above it. Green rows are code lengths: a decoder gets the "
        "text back from so many bits. Yellow rows are not, since their rule gives out more than "
        "1 in all; the red diamond is what such a score is worth once log2 Z is charged for it. "
        "Dots are seeds, dark lines the 95 % interval of their mean; ≈ marks a difference within "
        f"noise. {bytes_line(run.summary)}{sampling_line(run.summary)}"
    )
    picture = "Waterfall of bits per byte, row by row"
    return Section("The ladder", words, {"ladder": (picture, figure)}, table)


def _validity(run: Run) -> Section:
    table = [["row", "Z, mean", "Z, largest", "causal", "before update", "noise", "decoded"]]
    for row, audit in run.audits.items():
        checks, proof = audit["checks"], run.proofs.get(row)
        marks = [_mark(checks[name]["ok"]) for name in ("causal", "score_before_update")]
        mass = checks["normalised"]
        decoded = "not tried" if proof is None else f"{proof['bytes']:,} bytes"
        table.append(
            [
                row,
                f"{mass['mean_z']:,.6g}",
                f"{mass['max_z']:,.6g}",
                *marks,
                _mark(checks["null_stream"]["ok"]),
                decoded if proof is None or proof["decoded"] else "failed",
            ]
        )
    words = (
        "What was found by running each row, not by reading it: the total mass Z over the "
        "vocabulary at sampled targets (1 for a distribution), whether anything before a changed "
        "token moved, whether state changed only after scoring, whether random tokens cost what "
        "they must, and how much text came back from a real file in a fresh process."
    )
    return Section("Is it a code length?", words, {}, table)


def _noise(run: Run) -> Section:
    table = [["row", "against", "difference", "seeds, 95 %", "documents, 95 %", "p", "verdict"]]
    for line in run.compared[run.compared["against"].notna()].itertuples():
        p = line.paired_p if not math.isnan(line.paired_p) else line.welch_p
        table.append(
            [
                line.row,
                line.against,
                _plain(line.difference, "{:+.4f}"),
                _bounds(line.low, line.high),
                _bounds(line.document_low, line.document_high),
                _plain(p, "{:.2g}"),
                _verdict(line),
            ]
        )
    words = (
        "Two kinds of chance: another seed would have trained another model, another text would "
        "have held other documents. Seeds are compared in pairs where both rows have the same "
        "ones, by Welch's test otherwise; documents by a bootstrap on the first seed. With one "
        "seed nothing can be said of seeds, and the table says nothing."
    )
    return Section("Beyond noise?", words, {}, table)


def _verdict(line: Any) -> str:
    """What a line of the comparisons says of chance, and of which kind."""
    if line.noise == ONE_SEED:
        return "not known (one seed)"
    if isinstance(line.noise, str) and line.noise:
        return f"within noise ({line.noise})"
    known = {"seeds": line.low, "documents": line.document_low}
    of = [kind for kind, low in known.items() if not math.isnan(low)]
    return "beyond noise" if len(of) == len(known) else f"beyond noise of {of[0]}"


def _bytes(run: Run) -> Section:
    limits = [ledger.limit_bytes for ledger in run.ledgers.values()]
    table = [["row", "network", "memory", "code", "as source", "all", "of the limit"]]
    for row, ledger in run.ledgers.items():
        largest = ledger.largest
        sizes = largest.network_bytes, ledger.memory_bytes, ledger.bundle_bytes
        cells = [f"{size:,}" for size in (*sizes, ledger.source_bytes, largest.total_bytes)]
        mark = "" if ledger.code_counted == "decoder" else " (scorer)"
        table.append([row + mark, *cells, f"{largest.total_bytes / ledger.limit_bytes:.1%}"])
    words = (
        f"All that a row's decoder needs, against the {min(limits):,} bytes allowed: the network "
        "(of the largest seed), the memory, and the code that it imports of this project, as one "
        "bundle without comments, compressed; the proof decodes from that bundle. Beside it is "
        "what the same files have as source. A hashed row has no decoder; what scores it is "
        "counted. Installed packages and the tokenizer are not, as in the contest."
    )
    figures = {"bytes": ("Bytes by row", row_figures.bytes_by_row(run.ledgers))}
    return Section("Bytes", words, figures, table)


def _left_out(rows: Sized) -> str:
    """A sentence, where a picture has room for some of these rows only."""
    most = row_figures.MOST_LINES
    return f" Of {len(rows)} rows the last {most} are drawn." if len(rows) > most else ""


def _by_order(run: Run) -> Iterator[Section]:
    cached = {row: found for row, found in run.profiles.items() if found.order_nats.size}
    if not cached:
        return
    shares, hits = row_figures.by_order(cached)
    words = (
        "First, at which matched order each row's nats are paid. Exact counts leave most of "
        "them to short contexts, unless long ones recur; in full hash tables every context "
        "seems known, and they are at the highest order. Second, how often the token that "
        "came was among those seen behind the matched context: in a full hash table by "
        f"collision.{_left_out(cached)}"
    )
    figures = {
        "nats_by_order": ("Share of nats by matched order", shares),
        "hits_by_order": ("Hit rate by matched order", hits),
    }
    yield Section("By matched order", words, figures)


def _along_text(run: Run) -> Section:
    words = (
        "A cache that begins empty warms up, and its rows fall from left to right; with a memory "
        "it begins warm. Without prefill every rank begins with empty tables, and the curve of "
        f"such a row has a tooth at every rank's beginning.{_left_out(run.profiles)}"
    )
    picture = "Bits per byte along the validation text"
    figures = {"along_text": (picture, row_figures.along_text(run.profiles))}
    return Section("Along the text", words, figures)


def _gates(run: Run) -> Iterator[Section]:
    if not run.gates:
        return
    words = (
        "The cache's share α rises with the model's doubt. An order-adaptive gate trusts long "
        "matches at less doubt: darker lines are longer orders. Of a gate in several rows, whose "
        "orders may differ, the first row's are drawn."
    )
    figure = row_figures.gate_curves(run.gates, GATE_ORDERS)
    figures = {"gates": ("Share of the cache over the entropy of the model", figure)}
    yield Section("Gates", words, figures)


def _calibration(run: Run) -> Section:
    words = (
        "At the audit's targets every token of the vocabulary is asked for its probability. On "
        "the dashed line tokens come as often as they were promised to. A rule whose mass is far "
        "from 1 lies below it: it promises more than can come."
        f"{_left_out(run.calibration)}"
    )
    picture = "Share of tokens that came over the probability given to them"
    figures = {"calibration": (picture, row_figures.calibration(run.calibration))}
    return Section("Calibration", words, figures)


def _time(run: Run) -> Section:
    slow = run.budget.loc[run.budget["over_budget"].notna(), "row"].unique()
    words = "Measured on the machine that made the run; the limits are the contest's, for 8 GPUs."
    if len(slow):
        words += f" Over a limit: {', '.join(slow)}."
    figures = {"time": ("Seconds by stage", model_figures.time_bars(run.budget))}
    return Section("Time", words, figures)


def settings_table(differences: dict[str, tuple[Any, Any]]) -> list[list[str]]:
    """Keys that differ from the default, as cells: key, this run, default."""
    cells = [[key, _short(own), _short(default)] for key, (own, default) in differences.items()]
    return [["key", "this run", "default"], *cells]


def differences(own: Any, default: Any, place: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two configurations differ, by dotted key; lists are compared as they stand."""
    if not (isinstance(own, dict) and isinstance(default, dict)):
        return {} if own == default else {place: (own, default)}
    found = {}
    for key in dict.fromkeys([*own, *default]):
        name = f"{place}.{key}" if place else key
        found |= differences(own.get(key), default.get(key), name)
    return found


def _plain(value: float, form: str) -> str:
    return "" if pd.isna(value) else form.format(value)


def _bounds(low: float, high: float) -> str:
    return "" if pd.isna(low) else f"{low:+.4f} … {high:+.4f}"


def _mark(ok: bool) -> str:
    return "yes" if ok else "no"


def _short(value: Any) -> str:
    text = "—" if value is None else str(value)
    return text if len(text) <= 120 else text[:117] + "…"
