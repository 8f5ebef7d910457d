"""Batches: the same for every number of processes, each sequence once an epoch."""

import threading

import numpy as np
import pytest
import torch

from fairway.stage import StageError
from fairway.training.batches import Ahead, Batches

SHARDS = [np.arange(0, 90, dtype=np.uint16), np.arange(100, 185, dtype=np.uint16)]
SEQUENCE, BATCH = 4, 32  # 22 + 21 sequences, 8 a step


def batches(seed: int = 1, **changes) -> Batches:
    settings = {
        "shards": SHARDS,
        "vocabulary": 200,
        "sequence": SEQUENCE,
        "batch_tokens": BATCH,
        "seed": seed,
    }
    return Batches(**{**settings, **changes})


def starts(made: Batches, step: int, world_size: int = 1) -> list[int]:
    """First tokens of the sequences of a step, over all ranks."""
    return [
        int(sequence[0])
        for rank in range(world_size)
        for tokens in made.micro_batches(step, rank, world_size)
        for sequence in tokens
    ]


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_all_world_sizes_see_the_same_micro_batches(world_size: int) -> None:
    made = batches(batch_tokens=64)
    alone = made.micro_batches(3, 0, 1)
    shared = [made.micro_batches(3, rank, world_size) for rank in range(world_size)]
    assert alone.shape == (8, 2, SEQUENCE + 1) and alone.is_contiguous()
    assert torch.equal(alone, torch.cat(shared))


def test_targets_are_the_next_tokens_of_one_shard() -> None:
    for step in range(6):
        tokens = batches().micro_batches(step, 0, 1)
        assert tokens.dtype == torch.int64 and tokens.shape == (8, 1, SEQUENCE + 1)
        # consecutive in both shards, not across
        assert torch.equal(tokens[..., :-1] + 1, tokens[..., 1:])


def test_an_epoch_takes_every_sequence_once_and_the_next_another_order() -> None:
    made = batches()
    seen = [start for step in range(11) for start in starts(made, step)]  # 88 = 2 · 43 + 2
    every = sorted([*range(0, 88, SEQUENCE), *range(100, 184, SEQUENCE)])
    first, second = seen[:43], seen[43:86]
    assert sorted(first) == sorted(second) == every
    assert first != second and first != every


def test_seeds_see_different_orders() -> None:
    assert starts(batches(seed=1), 0) == starts(batches(seed=1), 0)
    assert starts(batches(seed=1), 0) != starts(batches(seed=2), 0)


def test_steps_can_be_asked_in_any_order() -> None:
    made = batches()
    later = starts(made, 9)
    assert starts(made, 0) == starts(batches(), 0)
    assert starts(made, 9) == later


def test_a_corpus_smaller_than_a_step_is_refused() -> None:
    with pytest.raises(StageError, match="43 sequences of 4 tokens; expected at least the 48"):
        batches(batch_tokens=192)


def test_a_token_beyond_the_vocabulary_is_refused() -> None:
    with pytest.raises(StageError, match="expected ids below the vocabulary of 150"):
        for step in range(6):
            batches(vocabulary=150).micro_batches(step, 0, 1)


def test_what_is_made_ahead_is_the_same() -> None:
    """In order, and after a jump back to the first step, as behind a warm-up."""
    ahead = Ahead(batches(), torch.device("cpu"))
    for step in (0, 1, 2, 0, 1, 5):
        assert torch.equal(ahead.micro_batches(step, 1, 2), batches().micro_batches(step, 1, 2))


def test_the_next_step_is_made_meanwhile() -> None:
    made, began = batches(), threading.Event()
    right = made.micro_batches

    def watched(step: int, rank: int, world_size: int) -> torch.Tensor:
        if step == 1:
            began.set()
        return right(step, rank, world_size)

    made.micro_batches = watched
    Ahead(made, torch.device("cpu")).micro_batches(0, 0, 1)
    assert began.wait(10), "nobody has asked for step 1 yet"
