"""A small text, and scorers written for a test, for the checks of anybody's scorer."""

from pathlib import Path

import numpy as np

from fairway.audit.case import Case, CheckSettings
from fairway.audit.sandbox import Limits
from fairway.audit.scorers import PythonScorer, open_scorer
from fairway.audit.texts import ScoredText
from support.tiny_mixing import text

SMALL_VOCABULARY = 24


def small_text(targets: int = 160) -> ScoredText:
    """Phrases that repeat, of few different tokens."""
    tokens = text(targets, vocabulary=SMALL_VOCABULARY)
    return ScoredText("small", tokens.astype(np.int64), SMALL_VOCABULARY)


def scorer_of(folder: Path, code: str, seconds: float = 30.0, **given: object) -> PythonScorer:
    """A scorer with this code, which has numpy as np."""
    file = folder / "my_scorer.py"
    file.write_text(f"import numpy as np\n{code}")
    return open_scorer(f"{file}:make", SMALL_VOCABULARY, given, {}, Limits(seconds))


def case_of(scorer: PythonScorer, **settings: float) -> Case:
    """The scorer on the small text."""
    few = {"mass_targets": 3, "changed_targets": 4, "null_tokens": 500, "decoded_targets": 50}
    return Case(scorer, small_text(), CheckSettings(**few | settings))
