"""Sweeps in the configuration: each fault is one line; what nobody wrote is dropped."""

from pathlib import Path

import pytest

from fairway.stage import StageError
from fairway.workflow.config import resolve_config
from fairway.workflow.layers import put_together, read_layer
from fairway.workflow.specs import Specs
from support.configs import ROOT, SCHEMA

DEFAULT = read_layer(ROOT / "config.yaml")
WIDE = {"from": 0, "to": 1, "number": 100_000}


def resolved(*layers: dict) -> dict:
    return resolve_config(put_together([DEFAULT, *layers]), SCHEMA)


@pytest.mark.parametrize(
    ("sweep", "line"),
    [
        ({"row": "hashd7", "gate": {"slope": [1]}}, "x.row`: 'hashd7' is not in `rows`; did you"),
        ({"row": "neural", "gate": {"alpha": [0]}}, "x.row`: 'neural'; expected a row with a ga"),
        ({"row": "hashed7"}, "x`: no values; expected some of a number in `gate` or `cache`"),
        ({"gate": {"slope": [1]}}, "x.row`: missing"),
        ({"row": "hashed7", "gate": {"slope": []}}, "x.gate.slope`: [] should be non-empty"),
        ({"row": "hashed7", "gate": {"slope": [2, 2]}}, "x.gate.slope`: [2, 2] has non-unique"),
        ({"row": "hashed7", "gate": {"slope": ["a"]}}, "x.gate.slope.0`: 'a'; expected finite n"),
        ({"row": "hashed7", "gate": {"alpha_low": [0.1, 1.0]}}, "x.gate.alpha_low.1`: 1.0; expe"),
        ({"row": "hashed7", "gate": {"alpha": [0.1]}}, "x.gate.alpha`: no number of gate uniform"),
        ({"row": "hashed7", "gate": {"kind": [1]}}, "x.gate.kind`: no number of gate uniform (en"),
        ({"row": "hashed7", "gate": {"alpha_low": [0.1, 0.5], "alpha_span": [0.1, 0.6]}},
         "x.gate`: alpha from 0.5 to 1.1; expected within [0, 1)"),
        ({"row": "hashed7", "gate": {"threshold": WIDE, "slope": [1, 2]}},
         "x`: 200,000 settings; expected at most 100,000"),
        ({"row": "hashed7", "gate": {"slope": {"from": 0, "to": 1}}}, "x.gate.slope.number`: mi"),
        ({"row": "hashed7", "cache": {"buckets": [5]}}, "x.cache.buckets`: 5; expected a power "),
        ({"row": "hashed7", "cache": {"min_count": list(range(1, 66))}},
         "x`: 65 caches; expected at most 64"),
        ({"row": "exact15_bayes", "cache": {"buckets": [4]}}, "x.cache.buckets`: no number of ca"),
        ({"row": "exact15_bayes", "gate": {"document_orders": [1.5]}},
         "x.gate.document_orders.0`: 1.5; expected integer"),
        ({"row": "exact15_bayes", "gate": {"continuation_orders": [3]}, "cache": {"max_order":
         [3]}}, "x.gate.continuation_orders`: 3; expected 0 to 2"),
        ({"row": "hashed7", "gate": {"slope": [1]}, "split": "halb"}, "x.split`: 'halb'; did you"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line(sweep, line):
    with pytest.raises(StageError) as caught:
        resolved({"sweeps": {"x": sweep}})
    assert str(caught.value).startswith(f"config key `sweeps.{line}")
    assert len(str(caught.value).splitlines()) == 1


def test_a_cache_of_the_name_that_a_sweep_gives_is_refused():
    cache = {"kind": "hashed", "max_order": 7, "buckets": 64}
    with pytest.raises(StageError, match=r"`caches\.hashed7__buckets_8`: the name of another"):
        resolved({
            "caches": {"hashed7__buckets_8": cache},
            "sweeps": {"x": {"row": "hashed7", "cache": {"buckets": [8]}}},
        })  # fmt: skip


def test_sweeps_of_rows_that_are_gone_are_dropped_unless_the_layer_has_them_itself():
    rows = [row for row in DEFAULT["rows"] if row["name"] in ("neural", "hashed7")]
    assert resolved({"rows": rows})["sweeps"] == {}
    with pytest.raises(StageError, match=r"sweeps\.buckets\.row`: 'hashed15_adaptive' is not in"):
        resolved({"rows": rows, "sweeps": {"buckets": DEFAULT["sweeps"]["buckets"]}})


def test_the_section_sweep_of_before_is_the_sweep_buckets():
    found = resolved({"sweep": {"row": "hashed7", "log2_buckets": [8, 3]}})["sweeps"]["buckets"]
    assert found == {"row": "hashed7", "cache": {"buckets": [256, 8]}, "gate": {}, "split": "none"}
    with pytest.raises(StageError, match="`sweep`: unknown; did you mean `sweeps`"):
        resolved({"sweep": {"row": "hashed7", "log2_buckets": [-1]}})


def test_only_the_sweeps_own_spec_holds_its_grid():
    before, after = (
        Specs(resolved({"sweeps": {"thresholds": {"split": split}}}), Path("results/specs"))
        for split in ("none", "half")
    )
    assert before.sha256("sweep_row", "thresholds") != after.sha256("sweep_row", "thresholds")
    assert before.sha256("sweep_row", "buckets") == after.sha256("sweep_row", "buckets")
    assert before.of_jobs() == after.of_jobs()
    with pytest.raises(StageError, match=r"`sweeps\.bucket`: not there; did you mean `buckets`"):
        before.path("sweep_row", "bucket")
