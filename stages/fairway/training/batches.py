"""Which training tokens a step sees: a function of seed and step, not of the processes.

The shards are cut into sequences; every epoch is a permutation of them drawn from the seed.
(The record reads its shards in order. A small corpus is in the order of its sources, so that
a reader in order ends each epoch on one of them.)
"""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from fairway.corpus.shards import check_vocabulary
from fairway.stage import StageError
from fairway.training.settings import MICRO_BATCHES


class Batches:
    """The micro-batches of every step.

    shards: token arrays; a sequence of `sequence` inputs and one more target is never taken
    across two. batch_tokens: inputs per step over all processes.
    Raises StageError if the shards hold fewer sequences than one step needs.
    """

    def __init__(
        self,
        shards: list[np.ndarray],
        vocabulary: int,
        sequence: int,
        batch_tokens: int,
        seed: int,
    ) -> None:
        self.shards, self.vocabulary = shards, vocabulary
        self.sequence, self.seed = sequence, seed
        self.per_step = batch_tokens // sequence
        counts = [(len(shard) - 1) // sequence for shard in shards]
        self.ends = np.cumsum(counts)
        self.total = int(self.ends[-1])
        if self.total < self.per_step:
            raise StageError(
                f"training text: {self.total} sequences of {sequence} tokens; "
                f"expected at least the {self.per_step} of one step (training.batch_tokens)"
            )
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def micro_batches(self, step: int, rank: int, world_size: int) -> Tensor:
        """This rank's share of a step's 8 micro-batches, in one piece of memory to send at once.

        int64 (micro-batches, sequences, sequence + 1): inputs are all tokens but the last of a
        sequence, targets all but the first. Over all ranks the shares are the same 8, in order.
        """
        share = self.per_step // world_size
        first = step * self.per_step + rank * share
        tokens = np.stack([self._sequence(number) for number in range(first, first + share)])
        check_vocabulary(tokens.reshape(-1), self.vocabulary, "training text")
        micro_batches = MICRO_BATCHES // world_size
        shape = micro_batches, share // micro_batches, self.sequence + 1
        return torch.from_numpy(tokens.astype(np.int64)).view(shape)

    def last_of_epoch(self, count: int) -> Tensor:
        """The last sequences of the first epoch's order: int64 (at most count, sequence + 1)."""
        first = max(0, self.total - count)
        tokens = np.stack([self._sequence(number) for number in range(first, self.total)])
        check_vocabulary(tokens.reshape(-1), self.vocabulary, "training text")
        return torch.from_numpy(tokens.astype(np.int64))

    def _sequence(self, number: int) -> np.ndarray:
        """The number-th sequence of the whole training: sequence + 1 tokens."""
        epoch, place = divmod(number, self.total)
        index = int(self._order(epoch)[place])
        shard = int(np.searchsorted(self.ends, index, side="right"))
        start = (index - (int(self.ends[shard - 1]) if shard else 0)) * self.sequence
        return self.shards[shard][start : start + self.sequence + 1]

    def _draw_order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(self.total)


class Ahead:
    """Micro-batches of Batches, those of the next step made by a thread, pinned for a GPU."""

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self.batches, self.pins = batches, device.type == "cuda"
        self.thread = ThreadPoolExecutor(1, "batches")
        self.waiting: tuple[tuple[int, int, int], Future[Tensor]] | None = None

    def micro_batches(self, step: int, rank: int, world_size: int) -> Tensor:
        """Those of Batches; StageError as there."""
        place = step, rank, world_size
        if self.waiting is None or self.waiting[0] != place:
            self.waiting = place, self.thread.submit(self._make, *place)
        result = self.waiting[1].result()
        after = step + 1, rank, world_size
        self.waiting = after, self.thread.submit(self._make, *after)
        return result

    def _make(self, step: int, rank: int, world_size: int) -> Tensor:
        tokens = self.batches.micro_batches(step, rank, world_size)
        return tokens.pin_memory() if self.pins else tokens
