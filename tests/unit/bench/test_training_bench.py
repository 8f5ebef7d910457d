"""bench/training.py: the plain GPT it compares with, and what it measures."""

import math

import numpy as np
import pytest
import torch
import training as bench

from fairway.training.batches import Batches
from support.tiny_models import CONTEXT, VOCABULARY, random_tokens, tiny_config

WINDOWS = {"length": CONTEXT, "stride": 8}


@pytest.fixture
def gpt() -> bench.PlainGpt:
    torch.manual_seed(0)
    return bench.PlainGpt(tiny_config())


def test_the_plain_gpt_sees_no_later_token_and_gives_the_last_positions(gpt) -> None:
    tokens = torch.from_numpy(random_tokens(2 * CONTEXT).astype("int64")).view(2, CONTEXT)
    logits = gpt(tokens)
    assert logits.shape == (2, CONTEXT, VOCABULARY)
    changed = tokens.clone()
    changed[:, 10:] = 1
    torch.testing.assert_close(gpt(changed)[:, :10], logits[:, :10])
    assert not torch.allclose(gpt(changed)[:, 10:], logits[:, 10:])
    torch.testing.assert_close(gpt(tokens, last=3), logits[:, -3:])


def test_it_learns() -> None:
    text = np.tile(random_tokens(CONTEXT), 40)
    batches = Batches([text], VOCABULARY, CONTEXT, 8 * CONTEXT, seed=1)
    model, steps = bench.trained_plain(tiny_config(), batches, seconds=0.5, rate=1e-2)
    sizes = np.ones(len(text) - 1)
    assert steps > 3
    assert bench.bits_per_byte(model, text, sizes, WINDOWS) < 0.9 * math.log2(VOCABULARY)


def test_bits_are_per_byte(gpt) -> None:
    with torch.no_grad():
        gpt.token_embedding.zero_()  # all tokens alike
    text = random_tokens(101)
    found = bench.bits_per_byte(gpt, text, np.full(100, 2), WINDOWS)
    assert found == pytest.approx(math.log2(VOCABULARY) / 2, rel=1e-6)


def test_rates_fall_over_the_second_half() -> None:
    found = [bench.scale_at(spent, 10.0) for spent in (0.0, 5.0, 7.5, 10.0, 11.0)]
    assert found == [1.0, 1.0, 0.5, 0.0, 0.0]
