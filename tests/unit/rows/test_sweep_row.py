"""A sweep from files to files: the row's own setting has the row's own figures."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sweep_row
from fairway.corpus.manifest import Manifest
from fairway.rows.grid import axes_of, caches_of
from fairway.stage import StageError
from fairway.tables.sweep import BEST, BEST_HALF, OWN
from support.mixing_workplace import CACHES, DEFAULTS, ROWS, TARGETS, WITHOUT_MODEL, Workplace

RANKS = 3
EXACT_OF = {"hashed": "exact", "hashed_memory": "exact_memory"}


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Workplace:
    monkeypatch.setattr(sys, "argv", sys.argv)  # put back afterwards
    return Workplace(tmp_path)


def swept(workplace: Workplace, row: str, gate: dict, split: str = "none", **changes) -> str:
    """Run the stage on a grid over the row's gate; the note. changes: flags given otherwise."""
    cache, folder = ROWS[row][0], workplace.folder
    names = [*([EXACT_OF[cache]] if cache in EXACT_OF else []), cache]
    scores, _ = workplace.shards(None, RANKS)
    counts = [path for name in names for path in workplace.shards(name, RANKS)[1]]
    models = [str(folder / "model.npz")]
    if row in WITHOUT_MODEL:
        scores, models = [], []
    flags = {"scores": scores, "model-audit": models, "counts": counts, "threads": ["2"]}
    flags |= {"val-bytes": [str(folder / "val_bytes.npy")]} | changes
    for flag in ("table", "note", "picture", "image"):
        flags[flag] = [str(folder / f"sweep.{flag}")]
    entry = {"gate": gate, "cache": {}}
    caches = [
        {"name": name, "settings": DEFAULTS | CACHES[name], "exact": EXACT_OF.get(name)}
        for name in names
    ]
    workplace.run(
        *(sweep_row, row, RANKS),
        [text for flag, values in flags.items() for text in (f"--{flag}", *values)],
        axes=[axis._asdict() for axis in axes_of(entry)],
        **{"caches": caches, "cache": cache, "sweep": "s", "seed": 7, "split": split},
    )
    return (folder / "sweep.note").read_text()


def table_of(workplace: Workplace) -> pd.DataFrame:
    return pd.read_csv(workplace.folder / "sweep.table", keep_default_na=False)


GRIDS = {
    "hashed": {"threshold": [3.0, 4.0], "slope": [1.0, 2.0]},
    "exact": {"alpha": [0.1, 0.4, 0.7]},
    "bayes": {"learning_rate": [0.1, 0.25], "document_orders": [0, 5]},
    "counts_only": {"learning_rate": [0.25, 0.5]},
    "hashed_memory": {"threshold": [4.0]},
    "bayes_memory": {"learning_rate": [0.1, 0.25]},
}
COMPLETE = {
    "entropy": {"alpha_low": 0.05, "alpha_span": 0.55, "slope": 2.0},
    "empirical_bayes": {"learning_rate": 0.25, "document_orders": 5, "continuation_orders": 2},
}


@pytest.fixture(autouse=True)
def complete_gates(monkeypatch):
    """Gates as the schema completes them, so that a row's own values are known."""
    for row, (cache, gate) in ROWS.items():
        if gate:
            monkeypatch.setitem(ROWS, row, (cache, COMPLETE.get(gate["kind"], {}) | gate))


@pytest.mark.parametrize("row", GRIDS)
@pytest.mark.parametrize("split", ["none", "half"])
def test_the_rows_own_setting_has_the_rows_own_figures(workplace, row, split):
    sums = workplace.mix(row, RANKS)
    mass = np.load(workplace.folder / "row.npz")["mass"]
    text = swept(workplace, row, GRIDS[row], split)
    table = table_of(workplace)
    assert len(table) == np.prod([len(values) for values in GRIDS[row].values()])
    own = table[table["note"].str.contains(OWN)]
    assert len(own) == 1 and OWN in text
    assert own["bpb"].item() == pytest.approx(sums.bits_per_byte, rel=1e-12)
    if split == "half":
        halves = own[["bpb_first_half", "bpb_second_half"]].to_numpy() / 2  # of as many bytes
        assert halves.sum() == pytest.approx(sums.bits_per_byte, rel=0.05)
    if row.startswith("hashed"):
        assert own["z_mean"].item() == pytest.approx(mass.mean(), rel=1e-12)
        worth = sums.bits_per_byte + np.log2(mass).mean() * TARGETS / sums.bytes
        assert own["bpb_normalized"].item() == pytest.approx(worth, rel=1e-12)
        assert "neither score is a code length" in text


def test_every_setting_is_that_row_mixed_with_it(workplace, monkeypatch):
    workplace.mix("bayes", RANKS)
    swept(workplace, "bayes", GRIDS["bayes"])
    for line in table_of(workplace).itertuples():
        gate = ROWS["bayes"][1] | {"learning_rate": line.learning_rate}
        gate |= {"document_orders": line.document_orders}
        monkeypatch.setitem(ROWS, "bayes", ("orders", gate))
        assert line.bpb == pytest.approx(workplace.mix("bayes", RANKS).bits_per_byte, rel=1e-12)


def test_the_best_is_said_to_be_fitted_and_halves_are_of_whole_documents(workplace):
    workplace.mix("exact", RANKS)
    text, table = swept(workplace, "exact", GRIDS["exact"]), table_of(workplace)
    best = table.loc[table["bpb"].idxmin()]
    assert BEST in best["note"] and BEST in text and "is no result" in text
    text = swept(workplace, "exact", GRIDS["exact"], "half")
    table = table_of(workplace)
    assert BEST_HALF in table.loc[table["bpb_first_half"].idxmin(), "note"] and BEST_HALF in text
    tokens = Manifest.load(workplace.folder / "manifest.json").read_val(
        workplace.folder / "val.bin"
    )
    start = sweep_row.halves(tokens, sweep_row.BOS)[1]
    assert start == TARGETS // 2 + 1 or tokens[start] == sweep_row.BOS


@pytest.mark.parametrize(("split", "allowed"), [("none", 1e-4), ("half", 0.02)])
def test_the_best_less_own_is_over_documents(workplace, split, allowed):
    workplace.mix("exact", RANKS)
    alphas = {"alpha": [0.05 * step for step in range(20) if step != 8]}  # the row's own is 0.4
    text, table = swept(workplace, "exact", alphas, split), table_of(workplace)
    column = "bpb" if split == "none" else "bpb_second_half"
    best = table[table["note"].str.contains("best, fitted")].iloc[0][column]
    own = table[table["note"].str.contains(OWN)].iloc[0][column]
    said = next(line for line in text.splitlines() if "best, fitted" in line).split("|")[-2]
    assert float(said.split()[0]) == pytest.approx(best - own, abs=allowed) and best != own
    assert "95 % interval" in text


def test_an_own_setting_beside_the_grid_is_added(workplace):
    workplace.mix("exact", RANKS)
    swept(workplace, "exact", {"alpha": [0.1, 0.2]})
    table = table_of(workplace)
    assert table["alpha"].tolist() == [0.1, 0.2, 0.4] and OWN in table["note"].iloc[2]


def test_the_picture_is_the_same_every_time(workplace):
    workplace.mix("hashed", RANKS)
    swept(workplace, "hashed", GRIDS["hashed"])
    names = ("picture", "image", "table")
    first = [Path(workplace.folder / f"sweep.{name}").read_bytes() for name in names]
    assert first[0].startswith(b"<?xml") and first[1].startswith(b"\x89PNG")
    swept(workplace, "hashed", GRIDS["hashed"])
    assert first == [Path(workplace.folder / f"sweep.{name}").read_bytes() for name in names]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("scores", "--scores: 0 files; sweep s takes 3"),
        ("model-audit", "--model-audit: 0 files; sweep s takes 1"),
        ("threads", "--threads: 0; expected at least 1"),
    ],
)
def test_what_is_missing_is_said_in_one_line(workplace, flag, message):
    workplace.mix("exact", RANKS)
    changes = {flag: ["0"] if flag == "threads" else []}
    with pytest.raises(StageError, match=message):
        swept(workplace, "exact", GRIDS["exact"], **changes)


def test_caches_have_the_names_they_have_or_say_what_is_changed():
    known = {"h": {"kind": "hashed", "max_order": 7, "buckets": 64, "min_count": 2},
             "e": {"kind": "exact", "max_order": 7, "min_count": 2}}  # fmt: skip
    axes = axes_of({"gate": {"alpha": [0.1]}, "cache": {"buckets": [64, 128], "max_order": [5]}})
    found = {cache.name: cache.exact for cache in caches_of(known, "h", axes)}
    assert found == {
        "h__exact__max_order_5": None,
        "h__max_order_5": "h__exact__max_order_5",
        "h__max_order_5__buckets_128": "h__exact__max_order_5",
        "e": None,
        "h": "e",
    }
