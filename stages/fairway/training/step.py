"""What a step of training does: forward, backward, sum over processes, optimisers, averages."""

import sys

import torch
from torch import Tensor

from fairway.machine.devices import autocast, to_device
from fairway.model.network import Model
from fairway.training.averaging import WeightAverages
from fairway.training.batches import Ahead, Batches
from fairway.training.loss import next_token_loss
from fairway.training.operations import chosen_operations
from fairway.training.optimizers import Optimizers
from fairway.training.processes import Processes
from fairway.training.qat import fake_quantised
from fairway.training.schedule import qat_sharpness
from fairway.training.settings import MICRO_BATCHES, TrainingSettings

_CPU_BYTES = 1 << 30  # that a forward may keep for its backward


def at_once(model: Model, settings: TrainingSettings, share: int) -> int:
    """How many of its `share` of micro-batches a process runs as one.

    One on a GPU, which a micro-batch fills; on a CPU, where larger products are faster, as many as
    fit into a fixed memory. It depends on the configuration alone: sums are rounded the same way
    on every machine.
    """
    if settings.device == "cuda":
        return 1
    tokens = settings.batch_tokens // MICRO_BATCHES
    fit = _CPU_BYTES // (4 * tokens * model.config.kept_per_token)
    return max(
        count for count in range(1, share + 1) if share % count == 0 and count <= max(1, fit)
    )


class Training:
    """A model, and everything else that a step changes.

    Gradients of all parameters, and the loss, lie in one buffer: one all-reduce a step.
    """

    def __init__(
        self, model: Model, settings: TrainingSettings, batches: Batches, processes: Processes
    ) -> None:
        self.model = model.to(processes.device)
        self.settings, self.processes = settings, processes
        self._choose_operations()
        self.batches = Ahead(batches, processes.device)
        self.at_once = at_once(model, settings, MICRO_BATCHES // processes.world_size)
        self.parameters = list(self.model.parameters())
        self.quantised = [part.weight for block in model.blocks for part in block.children()]
        self.loss = next_token_loss
        if settings.compile:  # one graph for one shape: a break or a second shape would be a bug
            self.loss = torch.compile(next_token_loss, fullgraph=True, dynamic=False)
        sizes = [parameter.numel() for parameter in self.parameters]
        self.buffer = torch.zeros(sum(sizes) + 1, device=processes.device)
        *parts, self.loss_sum = self.buffer.split([*sizes, 1])
        for parameter, part in zip(self.parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        processes.take_first([parameter.detach() for parameter in self.parameters])
        self.initial = [parameter.detach().clone() for parameter in self.parameters]
        self.reset()

    def _choose_operations(self) -> None:
        settings, config = self.settings, self.model.config
        kind = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
        operations, notes = chosen_operations(
            settings.kernels, config, self.processes.device, kind, settings.compile
        )
        self.model.use(operations)
        if self.processes.is_first:
            for note in notes:
                print(note, file=sys.stderr, flush=True)

    @torch.no_grad()
    def reset(self) -> None:
        """Weights as they were first, optimisers and averages new."""
        torch._foreach_copy_(self.parameters, self.initial)
        self.optimizers = Optimizers(self.model, self.settings, self.processes)
        self.averages = WeightAverages(self.parameters, self.settings.ema_decay)

    def step(self, step: int, scale: float) -> Tensor:
        """Run step 0, 1, … at a learning-rate scale.

        Returns (2,): the batch's loss, nats per token, and the gradient's norm before clipping;
        equal on all processes.
        """
        settings, processes = self.settings, self.processes
        share = self.batches.micro_batches(step, processes.rank, processes.world_size)
        self.buffer.zero_()
        with fake_quantised(self.quantised, qat_sharpness(settings, scale)):
            sequences = to_device(share, processes.device).flatten(0, 1)
            for tokens in sequences.split(self.at_once * share.shape[1]):
                self._accumulate(tokens[:, :-1], tokens[:, 1:])
            processes.sum_in_place(self.buffer)
        gradient = self.buffer[:-1]
        norm = gradient.norm()
        gradient.mul_((settings.gradient_clip / (norm + 1e-6)).clamp(max=1.0))
        figures = torch.cat((self.loss_sum, norm.view(1)))
        self.optimizers.step(step, scale)
        late = scale < settings.swa_below
        self.averages.update(take_snapshot=late and (step + 1) % settings.swa_every == 0)
        return figures

    def _accumulate(self, inputs: Tensor, targets: Tensor) -> None:
        with autocast(inputs.device, self.settings.precision):
            loss, penalty = self.loss(self.model, inputs, targets)
        weight = self.at_once / MICRO_BATCHES
        ((loss + penalty) * weight).backward()
        self.loss_sum += loss.detach() * weight

    @torch.no_grad()
    def weights_norm(self) -> Tensor:
        """Sum of the parameters' norms: the same bits wherever the parameters are the same."""
        return torch.stack(torch._foreach_norm(self.parameters)).sum()

    @torch.no_grad()
    def finish(self) -> None:
        """Give the model its final weights, the blend of the averages."""
        if not self.averages.snapshots and self.processes.is_first:
            print("no SWA snapshot was taken; the final weights are the EMA", file=sys.stderr)
        torch._foreach_copy_(self.parameters, self.averages.final())

    def state(self) -> dict[str, Tensor]:
        """The tensors that later steps depend on, by name; no other source of randomness is."""
        groups = {"parameters": [parameter.detach() for parameter in self.parameters]}
        groups |= self.optimizers.state() | self.averages.state()
        return {
            f"{group}/{index}": tensor
            for group, tensors in groups.items()
            for index, tensor in enumerate(tensors)
        }

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor], snapshots: int) -> None:
        """Take back what `state` gave, and how many snapshots were taken."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name])
        self.averages.snapshots = snapshots
