"""Logs of contest entries: every dialect, what counts as the result, and malformed lines."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fairway.stage import StageError
from fairway.tables.contest_logs import Point, number, read_log, seconds
from fairway.tables.imported import as_reference, imported_seeds
from support.shared_data import require_shared

SCRIPT = Path(__file__).resolve().parents[3] / "stages" / "import_logs.py"
ONE = """\
W0326 launcher says: step:1/2 is no line of ours
model_params:27124848
world_size:8 grad_accum_steps:1
train_batch_tokens:786432 train_seq_len:2048 iterations:20000
seed:1337
warmup_step:1/20
step:0/20000 val_loss:6.9301 val_bpb:4.1044 train_time:0ms step_avg:0.01ms
step:500/20000 train_loss:2.3749 train_time:45126ms step_avg:90.25ms
stopping_early: wallclock_cap train_time:560028ms step:6175/20000
Serialized model: 106449565 bytes
Code size: 78113 bytes
Serialized model int63+lzma: 15916672 bytes
Total submission size: 15994785 bytes
final_int6_roundtrip val_loss:1.9290 val_bpb:1.1424 eval_time:7044ms
final_int6_roundtrip_exact val_loss:1.92896126 val_bpb:1.14243951
ngram_prefill:rank1 pre-filled 7754688 positions in 21.4s
ngram_prefill:rank7 pre-filled 54270912 positions in 165.5s
final_int6_sliding_window val_loss:0.7380 val_bpb:0.4371 stride:64 eval_time:326310ms
final_int6_sliding_window_exact val_loss:0.73796796 val_bpb:0.43706735
"""
OTHER = """\
Hyperparameters:
  world_size: 8
  seed: 42
model_params:35943512
500/20000 train_loss: 3.3393 train_time: 0.8m tok/s: 7,725,942
4992/20000 val_loss: 2.8200 val_bpb: 1.0917
stopping_early: wallclock_cap train_time: 588041ms step: 4992/20000
Code size: 15516 bytes
Serialized model quantized+brotli: 15969408 bytes
Total submission size quantized+brotli: 15984924 bytes
quantized val_loss:2.84715497 val_bpb:1.10222242 eval_time:7483ms
quantized_sliding_window val_loss:2.80406725 val_bpb:1.08554182 eval_time:84099ms
"""


def read(text: str):
    return read_log(text.splitlines(), "x.log")


def test_one_dialect():
    run = read(ONE)
    assert (run.seed, run.parameters, run.world_size, run.batch_tokens) == (
        *(1337, 27124848, 8, 786432),
    )
    assert run.sizes == {"model": 15916672, "code": 78113, "total": 15994785}
    assert (run.steps, run.train_seconds) == (6175, 560.028)
    assert (run.val_loss, run.val_bpb) == (0.73796796, 0.43706735)
    assert run.eval_seconds == pytest.approx(326.31), "the exact line repeats a timed one"
    assert run.prefill_seconds == {1: 21.4, 7: 165.5}
    assert run.points == [
        Point(0, val_loss=6.9301, val_bpb=4.1044, seconds=0.0),
        Point(500, train_loss=2.3749, seconds=45.126),
    ]


def test_the_other_dialect():
    run = read(OTHER)
    assert (run.seed, run.world_size, run.steps, run.train_seconds) == (42, 8, 4992, 588.041)
    assert run.val_bpb == 1.08554182 and run.eval_seconds == pytest.approx(84.099)
    assert run.points == [
        Point(500, train_loss=3.3393, seconds=48.0),
        Point(4992, val_loss=2.82, val_bpb=1.0917),
    ]


def test_a_later_result_without_a_time_has_not_the_earlier_ones_time():
    late = ONE.replace("final_int6_sliding_window val_loss", "other val_loss")
    assert read(late).eval_seconds is None


def test_total_eval_time_is_the_evaluations():
    assert read(OTHER + "total_eval_time:455.1s\n").eval_seconds == 455.1


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("train_loss:2.3749", "train_loss:2.3x49", 8, "train_loss: '2.3x49'"),
        ("train_loss:2.3749 ", "", 8, "no `train_loss`"),
        ("train_time:45126ms", "train_time:45126", 8, "a number with ms, s or m"),
        ("val_bpb:0.43706735", "", 19, "no `val_bpb`"),
        ("in 165.5s", "in 165.5", 17, "a number with ms"),
        ("seed:1337", "seed:13.5", 5, "a whole number"),
        ("Code size: 78113 bytes", "Code size: many bytes", 11, "'many'"),
        ("step:6175/20000", "step:/20000", 9, "''"),
        ("val_bpb:0.43706735", "val_bpb:0,43706735", 19, "'0,43706735'; expected a number"),
        ("val_bpb:0.43706735", "val_bpb:-0.43706735", 19, "expected more than 0"),
        ("val_loss:0.73796796", "val_loss:73796796", 19, "at most 1000"),
        ("val_bpb:4.1044", "val_bpb:0", 7, "expected more than 0"),
        ("Code size: 78113 bytes", "Code size: -78113 bytes", 11, "'-78113'"),
        ("warmup_step:1/20", "seed:1338", 6, "seed 1338, after 1337; expected one training a log"),
    ],
)
def test_a_malformed_line_is_named(old, new, place, words):
    with pytest.raises(StageError, match=rf"^x\.log:{place}: ") as caught:
        read(ONE.replace(old, new))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed:1337\n", "", "no line says the seed"),
        ("Total submission size: 15994785", "Total submission size: 15994786", "15,994,785"),
    ],
)
def test_a_log_that_lacks_or_contradicts(old, new, words):
    with pytest.raises(StageError, match=words):
        read(ONE.replace(old, new))


def test_a_log_that_breaks_off_has_no_score():
    with pytest.raises(StageError, match="no line gives a final score"):
        read(ONE[: ONE.index("final_int6_roundtrip ")])


def test_numbers_and_durations():
    assert number("7,725,942") == 7725942 and number("1e-08") == 1e-8
    assert seconds("1.5m") == 90 and seconds("12ms") == 0.012
    assert number("-1,024.5e2") == -102450 and number(".5") == 0.5
    for wrong in ("nan", "1.2.3", "", "12kb", "1,1", "1234,567", "1e999", ",5"):
        with pytest.raises(ValueError):
            number(wrong)


def test_a_reference_has_a_name_that_a_key_may_have():
    text = as_reference("parameter-golf-796", imported_seeds("x", [read(ONE)]))
    assert text == "references:\n  parameter_golf_796: [0.43706735]\n"


def test_the_records_three_logs_give_its_published_table(tmp_path):
    logs = sorted(require_shared("data/logs/parameter-golf-796").glob("*.log"))
    command = [sys.executable, SCRIPT, *logs]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "BPB 0.43738, std 0.00031 (3 seeds)" in done.stdout
    folder = tmp_path / "results/imported/parameter-golf-796"
    seeds = pd.read_csv(folder / "seeds.csv").set_index("seed")
    assert seeds["bpb"].to_dict() == {1337: 0.43706735, 2024: 0.43738561, 2025: 0.43768394}
    assert seeds["artifact_bytes"].to_dict() == {
        **{1337: 15994785, 2024: 15949881, 2025: 15992965},
    }
    summary = pd.read_csv(folder / "summary.csv").iloc[0]
    assert summary["seeds"] == 3 and summary["bpb_mean"] == pytest.approx(0.43737897)
    assert summary[["z_mean", "is_code_length"]].isna().all(), "no log says them"


def test_every_shared_log_can_be_read():
    for path in require_shared("data/logs").glob("*/*.log"):
        run = read_log(path.read_text().splitlines(), path.name)
        assert run.steps > 4000 and run.sizes["total"] < 16_000_000 and run.points


def test_two_logs_of_one_seed_are_refused(tmp_path):
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text(ONE)
    command = [sys.executable, SCRIPT, tmp_path / "a.log", tmp_path / "b.log"]
    command += ["--folder", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "seed 1337, as an earlier log" in done.stderr
    assert not (tmp_path / "out").exists()
