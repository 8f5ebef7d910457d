"""Scoring: the right logits for every target, the same whatever the ranks and batches."""

import numpy as np
import pytest
import torch

from fairway.corpus.windows import WindowPlan
from fairway.scoring.forward import distributions_at, score_windows
from fairway.stage import StageError
from support.tiny_models import CONTEXT, VOCABULARY, random_tokens, tiny_model

PLAN = WindowPlan(targets=200, length=CONTEXT, stride=7)  # the last window is short
TOKENS = random_tokens(201)


def scored(model, ranks: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    parts = [
        score_windows(model, TOKENS, PLAN, PLAN.rank_windows(rank, ranks), batch)
        for rank in range(ranks)
    ]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def one_target_at_a_time(model) -> tuple[list[float], list[float]]:
    """From the definition: full logits of each target's window, in float64."""
    nll, entropy = [], []
    for target in range(1, PLAN.targets + 1):
        start = 0 if target <= CONTEXT else -(-(target - CONTEXT) // 7) * 7
        inputs = torch.from_numpy(TOKENS[start:target].astype(np.int64))[None]
        p = torch.softmax(model(inputs)[0, -1].double(), -1)
        nll.append(-float(p[int(TOKENS[target])].log()))
        entropy.append(-float((p * p.log()).sum()))
    return nll, entropy


def test_every_target_has_its_windows_nll_and_entropy():
    model = tiny_model()
    nll, entropy = scored(model, 1, 4)
    assert nll.dtype == entropy.dtype == np.float32
    expected_nll, expected_entropy = one_target_at_a_time(model)
    assert np.ptp(expected_entropy) > 0.5 and np.ptp(expected_nll) > 2  # a model with opinions
    np.testing.assert_allclose(nll, expected_nll, atol=1e-5)
    np.testing.assert_allclose(entropy, expected_entropy, atol=1e-5)


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("batch", [1, 5])
def test_ranks_and_batches_change_nothing(ranks, batch):
    model = tiny_model(1)
    nll, entropy = scored(model, ranks, batch)
    expected_nll, expected_entropy = scored(model, 1, 16)
    assert len(nll) == PLAN.targets
    np.testing.assert_allclose(nll, expected_nll, atol=1e-5)
    np.testing.assert_allclose(entropy, expected_entropy, atol=1e-5)


def test_compiled_and_bfloat16_scores_are_near(monkeypatch):
    """Full batches go through the compiled function, the first and the last ones do not."""
    one_layer = {
        "shared_blocks": 0,
        "loops": 0,
        "lora_matrices": (),
        "value_embedding_layers": (0,),
    }
    model, batches = tiny_model(**one_layer), []

    def only_capture(function, **options):
        assert options == {"fullgraph": True, "dynamic": False}
        compiled = captured(function, backend="eager", **options)
        return lambda *inputs: batches.append(len(inputs[1])) or compiled(*inputs)

    captured = torch.compile
    monkeypatch.setattr(torch, "compile", only_capture)
    exact = scored(model, 1, 4)
    rounded = score_windows(
        model, TOKENS, PLAN, range(len(PLAN)), 4, precision="bfloat16", compiled=True
    )
    assert batches == [4] * 6  # windows 1 to 24 of 27
    for one, other in zip(exact, rounded, strict=True):
        assert 1e-4 < np.abs(one - other).max() < 0.2
        assert abs(one.mean() - other.mean()) < 0.01


def test_a_rank_scores_its_targets():
    model = tiny_model()
    for rank in range(3):
        first, last = PLAN.rank_targets(rank, 3)
        seen = []
        nll, _ = score_windows(
            model, TOKENS, PLAN, PLAN.rank_windows(rank, 3), 4, progress=seen.append
        )
        assert len(nll) == sum(seen) == last + 1 - first


def test_later_tokens_do_not_matter():
    model, changed = tiny_model(), TOKENS.copy()
    changed[120:] = random_tokens(len(changed) - 120, seed=9)
    before, _ = scored(model, 1, 4)
    after, _ = score_windows(model, changed, PLAN, range(len(PLAN)), 4)
    np.testing.assert_allclose(before[:119], after[:119], atol=1e-6)
    assert np.abs(before[119:] - after[119:]).max() > 0.1


def test_distributions_belong_to_the_scores():
    model = tiny_model()
    nll, entropy = scored(model, 1, 4)
    targets = [200, 1, 2, 24, 25, 26, 31, 32, 100, 25, 199]  # unsorted, twice the same
    p = distributions_at(model, TOKENS, PLAN, targets, 3)
    assert p.shape == (len(targets), VOCABULARY) and p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
    at = np.array(targets)
    own = p[np.arange(len(at)), TOKENS[at]]
    np.testing.assert_allclose(-np.log(own), nll[at - 1], atol=1e-5)
    np.testing.assert_allclose(-(p * np.log(p)).sum(axis=1), entropy[at - 1], atol=1e-5)


def test_broken_model_is_one_clear_error():
    model = tiny_model()
    model.smear_logit[3] = torch.nan
    with pytest.raises(StageError, match=r"targets 1 to 24: scores that are not finite"):
        scored(model, 1, 4)
