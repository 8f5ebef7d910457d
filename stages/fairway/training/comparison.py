"""What a text costs with the weights that steps change, and with their average."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fairway.machine.devices import autocast, to_device
from fairway.training.settings import MICRO_BATCHES
from fairway.training.step import Training

_TOKENS = 8192  # of the text, or one sequence


class Comparison:
    """Both weights on the same text: the sequences that the first epoch would come to last.

    So no step of that epoch has learned from them, none is kept from a training, and validation
    text has no part in it. Every process computes the whole, as all have the same weights.
    """

    def __init__(self, training: Training) -> None:
        batches = training.batches.batches
        count = max(1, _TOKENS // batches.sequence)
        self.training, self.sequences = training, batches.last_of_epoch(count)
        self.at_once = training.at_once * batches.per_step // MICRO_BATCHES
        self.steps_unseen = (batches.total - len(self.sequences)) // batches.per_step

    @property
    def tokens(self) -> int:
        """Targets of the text."""
        return self.sequences[:, 1:].numel()

    @torch.no_grad()
    def losses(self) -> Tensor:
        """(2,): nats per token with the weights, and with what would be the final ones now.

        Neither is fake-quantised. Weights, averages and optimisers are left as they were, to the
        bit.
        """
        parameters = self.training.parameters
        raw = self._loss()
        kept = [parameter.clone() for parameter in parameters]
        torch._foreach_copy_(parameters, self.training.averages.final())
        try:
            return torch.stack((raw, self._loss()))
        finally:
            torch._foreach_copy_(parameters, kept)

    def _loss(self) -> Tensor:
        model, device = self.training.model, self.training.processes.device
        total = torch.zeros((), device=device)
        for part in self.sequences.split(self.at_once):
            tokens = to_device(part, device)
            with autocast(device, self.training.settings.precision):
                logits = model(tokens[:, :-1])
            total += F.cross_entropy(
                logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum"
            )
        return total / self.tokens
