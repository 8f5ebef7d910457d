"""What is printed in the customary form is what the importer of contest logs reads."""

import pytest

from fairway.submission import log_lines
from fairway.submission.log_lines import Sizes
from fairway.tables.contest_logs import read_log
from fairway.tables.metrics import Done, Step

TRAINING = {"max_seconds": 560.0, "batch_tokens": 2048, "sequence": 256, "steps": 600}
CACHE = {"kind": "exact", "min_order": 2, "max_order": 15, "memory": "training"}


def lines(steps: int = 500, memory: int = 300, cache: dict | None = CACHE) -> list[str]:
    done = Done("done", steps, 560.03, 27_124_848)
    return [
        *log_lines.head(1337, "it", 8, TRAINING | {"warmup_steps": 20}),
        log_lines.step(Step(500, 2.37489, 1.0, 22_692.0, 45.126), 600),
        *log_lines.trained(done, 600),
        *log_lines.sizes(Sizes(9000, 2000, memory, 100, "lzma")),
        *log_lines.result("sliding_window", 1500.0, 1000, 1.12, 3.0),
        *log_lines.cache(cache),
        *log_lines.result(log_lines.label(cache), 1386.25, 1000, 0.97518432, 7.5),
    ]


def test_the_importer_reads_all_of_it():
    run = read_log(lines(), "log")
    assert (run.seed, run.world_size, run.batch_tokens) == (1337, 8, 2048)
    assert (run.parameters, run.steps, run.train_seconds) == (27_124_848, 500, 560.03)
    assert run.sizes == {"model": 2300, "code": 100, "total": 2400}
    assert run.result == "quantized_sliding_window_ngram15_exact"
    assert (run.val_bpb, run.val_loss) == (0.97518432, 1.38625)
    assert run.eval_seconds == pytest.approx(7.5)
    (point,) = run.points
    assert (point.step, point.train_loss, point.seconds) == (500, 2.3749, pytest.approx(45.126))


def test_a_training_that_its_iterations_ended_did_not_stop_early():
    assert not any(line.startswith("stopping_early") for line in lines(steps=600))


def test_without_memory_and_cache():
    found = lines(memory=0, cache=None)
    assert not any("memory" in line or "ngram" in line for line in found)
    assert read_log(found, "log").result == "quantized_sliding_window_exact"
