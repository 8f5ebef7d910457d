"""Checks of anybody's scorer: what no example shows, what goes wrong in a process, the command."""

import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fairway.audit.case import FAILED, NOT_CHECKED, OK, SKIPPED
from fairway.audit.report import GUIDE, section
from fairway.audit.samples import draw_sample, frequency_nats
from fairway.audit.sandbox import Limits, ScorerFailure
from fairway.audit.scorer_checks import CHECKS, is_code_length, run_checks
from fairway.audit.scorers import Program, open_scorer
from fairway.audit.texts import FEWEST_TARGETS, file_text, shard_text, text_of
from fairway.corpus.shards import write_shard
from fairway.stage import StageError
from support.corpus_samples import sample_texts
from support.scorer_cases import SMALL_VOCABULARY, case_of, scorer_of, small_text
from support.tiny_rows import write_tokenizer

STAGE = Path(__file__).resolve().parents[3] / "stages" / "check_scorer.py"
UNIFORM = """
def make(vocabulary):
    def score(tokens):
        {line}
        return np.full(len(tokens) - 1, np.log(vocabulary))
    return score
"""


def findings(folder, code: str, *names: str, seconds: float = 30.0, **settings: float) -> dict:
    """What the named checks find of a scorer with this code; all checks if none is named."""
    with closing(scorer_of(folder, code, seconds)) as scorer:
        case = case_of(scorer, **settings)
        if not names:
            return run_checks(case)
        return {name: CHECKS[name].run(case) for name in names}


@pytest.mark.parametrize(
    ("line", "check", "found"),
    [
        ("return np.full(len(tokens) - 1, np.log(len(tokens)))", "causal", "is cut off"),
        ("return np.full(len(tokens) - 2, 1.0)", "once-each", "159 numbers for 160 targets"),
        ("return np.full(len(tokens) - 1, np.inf)", "once-each", "inf nats, 160 such"),
        ("return np.where(np.arange(1, len(tokens)) == 7, np.nan, 1)", "once-each", "target 7 "),
        ("return np.where(np.arange(1, len(tokens)) == 7, -0.1, 1)", "once-each", "-0.1 nats"),
    ],
    ids=["length", "one missing", "infinite", "nan", "negative"],
)
def test_what_no_example_does(line, check, found, tmp_path):
    finding = findings(tmp_path, UNIFORM.format(line=line), check)[check]
    assert finding.outcome == FAILED
    assert found in finding.found, finding.found


def test_rounding_by_another_length_is_no_fault_but_other_tokens_are(tmp_path):
    nats = "return np.full(len(tokens) - 1, np.log(vocabulary) + 1e-5 * {})"
    rounded = UNIFORM.format(line=nats.format("(len(tokens) % 3)"))
    assert findings(tmp_path, rounded, "causal")["causal"].outcome == OK
    assert findings(tmp_path, rounded, "causal", rounding=1e-6)["causal"].outcome == FAILED
    changed = UNIFORM.format(line=nats.format("(tokens[-1] % 3)"))
    assert findings(tmp_path, changed, "causal")["causal"].outcome == FAILED


@pytest.mark.parametrize(("error", "outcome"), [("0", OK), ("5e-7", OK), ("5e-6", FAILED)])
def test_mass_may_be_off_by_what_float32_rounds(error, outcome, tmp_path):
    code = UNIFORM.format(line=f"return np.full(len(tokens) - 1, np.log(vocabulary) - {error})")
    assert findings(tmp_path, code, "normalised")["normalised"].outcome == outcome


def test_a_token_that_is_never_expected_does_not_make_noise_cheap(tmp_path):
    """Infinite nats are allowed on noise: they are no gain."""
    code = UNIFORM.format(
        line="return np.where(tokens[1:] == 0, np.inf, np.log(vocabulary - 1.0))"
    )
    assert findings(tmp_path, code, "null")["null"].outcome == OK


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("self.asked", "asked twice, two distributions"),
        ("self.asked_before", "another score when it is asked twice"),
    ],
    ids=["at once", "later"],
)
def test_a_distribution_that_changes_when_it_is_looked_at(place, found, tmp_path):
    code = f"""
class Worn:
    def __init__(self, vocabulary):
        self.vocabulary, self.asked, self.asked_before = vocabulary, 0, 0
    def distribution(self):
        self.asked += 1
        p = np.ones(self.vocabulary)
        p[{place} % self.vocabulary] = 2
        return p / p.sum()
    def push(self, token): self.asked_before = self.asked
def make(vocabulary): return Worn(vocabulary)
"""
    findings_of = findings(tmp_path, code, "blind", "normalised")
    assert found in findings_of["blind"].found
    assert findings_of["normalised"].outcome == OK


def test_probabilities_below_zero_do_not_make_a_mass(tmp_path):
    code = """
class Negative:
    def __init__(self, vocabulary): self.vocabulary = vocabulary
    def distribution(self):
        p = np.full(self.vocabulary, 1 / self.vocabulary)
        p[0], p[1] = -p[0], 3 * p[1]
        return p
    def push(self, token): pass
def make(vocabulary): return Negative(vocabulary)
"""
    found = findings(tmp_path, code, "normalised")["normalised"]
    assert found.outcome == FAILED and "Z = nan" in found.found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("1 / 0", r"crashed: ZeroDivisionError: division by zero \(my_scorer.py, line 5\)"),
        ("import os; os._exit(3)", "crashed: ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", "crashed: was killed by SIGSEGV"),
        ("import sys; sys.exit('no')", "crashed: SystemExit: no"),
        ("np.zeros(1 << 40)", "crashed: .*MemoryError"),
        ("import time; time.sleep(60)", "hangs: no answer to score in 1 s"),
        ("return 'abc'", "returned <U3 .*expected one number per target"),
        ("return np.zeros((2, 3))", "returned float64 .*expected one number per target"),
        ("return [object()]", "crashed: ValueError"),
    ],
)
def test_what_goes_wrong_is_said(line, found, tmp_path):
    seconds = 1.0 if "sleep" in line else 30.0
    with pytest.raises(ScorerFailure, match=found):
        findings(tmp_path, UNIFORM.format(line=line), "once-each", seconds=seconds)


def test_other_checks_are_made_after_a_crash(tmp_path):
    """It crashes on texts that are longer than the one it knows, so on noise alone."""
    code = UNIFORM.format(line="assert len(tokens) <= 161, 'too long'")
    found = findings(tmp_path, code)
    assert found["null"].outcome == NOT_CHECKED
    assert "AssertionError: too long" in found["null"].found
    assert {found[name].outcome for name in ("repeatable", "causal", "blind")} == {OK}
    assert found["decoded"].outcome == found["collisions"].outcome == SKIPPED
    assert is_code_length(found) is None


def test_after_a_crash_there_is_a_new_process(tmp_path):
    code = UNIFORM.format(line="if len(tokens) < 161: import os; os._exit(1)")
    found = findings(tmp_path, code)
    assert found["causal"].outcome == found["blind"].outcome == NOT_CHECKED
    assert "crashed: ended with exit code 1" in found["causal"].found
    assert found["null"].outcome == OK


def test_printing_is_noted_and_disturbs_nothing(tmp_path):
    with closing(
        scorer_of(tmp_path, UNIFORM.format(line="print('score', len(tokens))"))
    ) as scorer:
        case = case_of(scorer)
        assert CHECKS["once-each"].run(case).outcome == OK
        assert scorer.printed() == "prints; 1 lines, first 'score 161'"


@pytest.mark.parametrize("jobs", [1, 2])
def test_many_texts_come_back_in_order(jobs, tmp_path):
    scorer = scorer_of(tmp_path, UNIFORM.format(line="return 1.0 * tokens[1:]"))
    scorer.jobs = jobs
    texts = [np.array([0, index, 3]) for index in range(200)]
    with closing(scorer):
        assert [nats[0] for nats in scorer.nats(texts)] == list(range(200))


BATCH = """
class Scorer:
    calls = 0
    def __call__(self, tokens): return np.full(len(tokens) - 1, np.log({vocabulary}.0))
    def batch(self, texts):
        Scorer.calls += 1
        assert len(texts) == 64
        return np.full((len(texts), len(texts[0]) - 1), np.log(24.0)) {more}
def make(vocabulary): return Scorer()
"""


def test_a_batch_is_one_call_of_always_as_many(tmp_path):
    code = BATCH.format(vocabulary=24, more="+ 100.0 * Scorer.calls + texts[:, 1:]")
    texts = [np.array([0, index]) for index in range(70)]
    with closing(scorer_of(tmp_path, code)) as scorer:
        found = [nats[0] - np.log(24) for nats in scorer.nats(texts, together=True)]
        alone = list(scorer.nats(texts))
    assert found == pytest.approx([100 + i for i in range(64)] + [200 + i for i in range(64, 70)])
    assert np.ptp(alone) == 0


@pytest.mark.parametrize(("vocabulary", "outcome"), [(24, OK), (20, FAILED)])
def test_a_batch_must_agree_with_the_score(vocabulary, outcome, tmp_path):
    """Both are proper distributions over 24 tokens by what `batch` says."""
    code = BATCH.format(vocabulary=vocabulary, more="")
    for name, found in findings(tmp_path, code, "normalised", "blind").items():
        assert found.outcome == outcome, name
        assert ("differs by 0.182 nats" in found.found) == (outcome == FAILED)


def test_numbers_are_taken_before_the_next_text_is_scored(tmp_path):
    """A scorer may write its numbers into the same array every time."""
    code = """
def make(vocabulary):
    kept = np.zeros(1)
    def score(tokens):
        kept[0] = tokens[1]
        return kept
    return score
"""
    with closing(scorer_of(tmp_path, code)) as scorer:
        found = list(scorer.nats([np.array([0, index]) for index in range(5)]))
    assert [nats[0] for nats in found] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.py:make", "none.py: no such file"),
        ("scorer.txt:make", "expected file.py:function or a command"),
        ("run {input}", "no {output}; expected a command with it"),
        ("run {inputs} {output}", "no {outputs}"),
    ],
)
def test_wrong_names_are_refused(name, message):
    with pytest.raises(StageError, match=re.escape(message)):
        open_scorer(name, 8, {}, {}, Limits())


def test_a_function_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StageError, match="no function `make`"):
        scorer_of(tmp_path, "def build(vocabulary): pass")


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("import sys; sys.exit('bad shard')", "ended with exit code 1: bad shard"),
        ("pass", "wrote no 0000.npy"),
        ("import sys; open(sys.argv[2], 'w').write('x')", "is no .npy"),
        ("import time; time.sleep(60)", "hangs: no end in 2 s"),
    ],
)
def test_programs_that_fail_say_why(script, found, tmp_path):
    (tmp_path / "program.py").write_text(script)
    program = Program(f"{sys.executable} {tmp_path}/program.py {{input}} {{output}}", Limits(2.0))
    with pytest.raises(ScorerFailure, match=re.escape(found)):
        list(program.nats([np.array([0, 1])]))


def test_suspects_are_where_the_score_is_too_good():
    text = small_text()
    nats = frequency_nats(text.tokens, SMALL_VOCABULARY)
    seen = [int((text.tokens[:j] == text.tokens[j]).sum()) for j in range(1, 161)]
    expected = [-np.log((s + 1) / (j + SMALL_VOCABULARY)) for j, s in enumerate(seen, start=1)]
    np.testing.assert_allclose(nats, expected)
    nats[[40, 90]] -= 1.0
    sample = draw_sample(text.tokens, nats, SMALL_VOCABULARY, 2, np.random.default_rng(0))
    assert sample.suspects.tolist() == [41, 91]
    assert len(sample.random) == 2


def test_texts_know_their_tokens_and_bytes(tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer.model")
    content = "\0".join(sample_texts(2)).encode()
    (tmp_path / "text").write_bytes(content)
    text = file_text(tmp_path / "text", tokenizer, 10**6)
    assert text.original_bytes == text.target_bytes.sum() == len(content) - 1
    write_shard(tmp_path / "val.bin", text.tokens.astype(np.uint16))
    part = shard_text(tmp_path / "val.bin", tokenizer, None, 50)
    assert (part.targets, part.original_bytes, part.vocabulary) == (50, None, text.vocabulary)
    assert np.array_equal(part.target_bytes, text.target_bytes[:50])
    guessed = shard_text(tmp_path / "val.bin", None, None, 50)
    assert (guessed.vocabulary, guessed.target_bytes) == (512, None)
    with pytest.raises(StageError, match="expected more than"):
        text_of("few", np.zeros(FEWEST_TARGETS), 8, 100)


def test_every_check_is_explained_in_the_guide():
    for name in CHECKS:
        assert "Usual causes" in section(f"`{name}`") or name == "collisions"
        assert f"| `{name}` | {CHECKS[name].conditions} |" in GUIDE.read_text()
    assert "--seconds" in section("When it crashes, hangs or prints")


def run_stage(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """check_scorer on the small text, in `folder`."""
    write_shard(folder / "val.bin", small_text().tokens.astype(np.uint16))
    flags = ("--tokens", "val.bin", "--vocabulary", str(SMALL_VOCABULARY), "--null-tokens", "500")
    command = [sys.executable, str(STAGE), *arguments, *flags]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_guides_scorer_passes_and_fails_as_it_says(tmp_path):
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)[1]
    (tmp_path / "my_scorer.py").write_text(code)
    done = run_stage(tmp_path, "my_scorer.py:make")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict: a code length, as far as running it shows" in done.stdout
    folder = tmp_path / "results" / "checks" / "my_scorer"
    assert [path.name for path in folder.iterdir()] == ["check.json"]

    broken = code.replace("self.counts.sum()", "len(self.counts)")
    (tmp_path / "my_scorer.py").write_text(broken)
    done = run_stage(tmp_path, "my_scorer.py:make")
    assert done.returncode == 1
    assert "verdict: not a code length: normalised" in done.stdout
    report = json.loads((folder / "check.json").read_text())
    assert report["is_code_length"] is False
    assert report["first_fault"] == {
        "check": "normalised", "target": 1, "token": int(small_text().tokens[1])
    }  # fmt: skip
    score = report["score"]
    assert score["normalised_bits_per_token"] > score["bits_per_token"] + 1
    page = (folder / "normalised.md").read_text()
    assert report["checks"]["normalised"]["found"] in page and "Usual causes" in page
    assert not (folder / "causal.md").exists()


def test_the_command_tells_a_scorer_that_does_not_run(tmp_path):
    (tmp_path / "bad.py").write_text("def make(vocabulary): raise RuntimeError('no weights')")
    done = run_stage(tmp_path, "bad.py:make", "--out", "here")
    assert done.returncode == 1
    assert "verdict: not checked" in done.stdout and "RuntimeError: no weights" in done.stdout
    assert "--seconds" in (tmp_path / "here" / "not_checked.md").read_text()
    done = run_stage(tmp_path, "bad.py:missing")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("bad.py: no function `missing`")
