"""Every example of a scorer gets the verdict it must, by the checks that must catch it."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fairway.audit.case import FAILED, NOT_CHECKED, Case, CheckSettings
from fairway.audit.report import first_fault
from fairway.audit.sandbox import Limits
from fairway.audit.scorer_checks import CHECKS, is_code_length, run_checks
from fairway.audit.scorers import open_scorer
from fairway.audit.texts import ScoredText, text_of
from fairway.audit.zoo import examples
from support.corpus_samples import VOCABULARY, sample_texts, tokenizer_of
from support.scorer_cases import small_text
from support.tiny_rows import write_tokenizer

ZOO = {example.name: example for example in examples()}
NEEDS_TOKENIZER = {"wrong_bytes"}
FEW = CheckSettings(mass_targets=3, changed_targets=4, null_tokens=2500, decoded_targets=100)


def real_text(folder: Path) -> ScoredText:
    """A few documents with their tokenizer."""
    tokens = tokenizer_of("lossless").encode(sample_texts(3)[0], add_bos=True)
    path = write_tokenizer(folder / "tokenizer.model")
    return text_of("sample", np.array(tokens), VOCABULARY, 150, path)


@pytest.mark.parametrize("name", ZOO)
def test_an_example_gets_its_verdict(name, tmp_path):
    example = ZOO[name]
    text = real_text(tmp_path) if name in NEEDS_TOKENIZER else small_text()
    offered = {"tokenizer": str(text.tokenizer)} if text.tokenizer else {}
    scorer = open_scorer(example.command(text.vocabulary), text.vocabulary, {}, offered, Limits())
    with closing(scorer):
        found = run_checks(Case(scorer, text, FEW))
    failed = [check for check, finding in found.items() if finding.outcome == FAILED]
    assert example.agrees(failed), {check: finding.found for check, finding in found.items()}
    assert NOT_CHECKED not in {finding.outcome for finding in found.values()}
    assert is_code_length(found) is (not example.fails)
    if example.fails and example.fails != ("collisions",):
        check, target = first_fault(found)
        assert check in failed and 1 <= target <= text.targets


def test_every_check_is_the_one_that_catches_some_example():
    """So that a check cannot be lost: the example's test fails without it."""
    assert {check for example in ZOO.values() for check in example.fails} == set(CHECKS)


def test_there_are_valid_and_invalid_examples_of_each_kind():
    assert len(ZOO) >= 12
    assert sum(not example.fails for example in ZOO.values()) >= 5
