"""Which optimiser moves which parameter: Muon the matrices, AdamW the rest."""

import torch
from torch import Tensor

from fairway.model.network import Model
from fairway.training.muon import Muon
from fairway.training.processes import Processes
from fairway.training.schedule import muon_momentum
from fairway.training.settings import TrainingSettings


def parameter_kinds(model: Model) -> dict[str, list[Tensor]]:
    """The parameters as `matrices`, `embeddings`, `scalars` and `gates`, each exactly once.

    Matrices map vectors to vectors, LoRA factors included; embeddings are looked up; scalars
    are gains, mixes, skips and gates per channel; gates are the shrinkage logits γ.
    """
    kinds: dict[str, list[Tensor]] = {"matrices": [], "embeddings": [], "scalars": [], "gates": []}
    for name, parameter in model.named_parameters():
        if name.endswith("gamma_logit"):
            kind = "gates"
        elif name.endswith("embedding"):
            kind = "embeddings"
        elif parameter.ndim == 2 and name != "skip_weights":
            kind = "matrices"
        else:
            kind = "scalars"
        kinds[kind].append(parameter)
    return kinds


class Optimizers:
    """Muon and AdamW over a model's parameters, stepped together.

    Weight decay is on all but the gates, whose logits it would pull towards γ = ½.
    """

    def __init__(self, model: Model, settings: TrainingSettings, processes: Processes) -> None:
        kinds = parameter_kinds(model)
        self.settings = settings
        shared = processes.world_size > 1
        self.muon = Muon(
            kinds["matrices"],
            settings.weight_decay,
            processes.rank,
            processes.world_size,
            processes.sum_in_place if shared else None,
        )
        rates = {
            "embeddings": (settings.embedding_lr, settings.weight_decay),
            "scalars": (settings.scalar_lr, settings.weight_decay),
            "gates": (settings.scalar_lr, 0.0),
        }
        groups = [
            {"params": kinds[kind], "lr": lr, "base_lr": lr, "weight_decay": decay}
            for kind, (lr, decay) in rates.items()
            if kinds[kind]
        ]
        self.adam = torch.optim.AdamW(
            groups, betas=settings.adam_betas, eps=settings.adam_epsilon, fused=True
        )
        for group in groups:  # what AdamW makes at its first step: so a state is always whole
            for parameter in group["params"]:
                self.adam.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }

    def step(self, step: int, lr_scale: float) -> None:
        """Update all parameters from their gradients at step 0, 1, …"""
        settings = self.settings
        self.muon.step(settings.muon_lr * lr_scale, muon_momentum(settings, step))
        for group in self.adam.param_groups:
            group["lr"] = group["base_lr"] * lr_scale
        self.adam.step()

    def state(self) -> dict[str, list[Tensor]]:
        """All that later steps depend on: the optimisers' own tensors, to save and to restore."""
        adam = [self.adam.state[p] for group in self.adam.param_groups for p in group["params"]]
        return {"momenta": self.muon.momenta} | {
            name: [found[name] for found in adam] for name in ("step", "exp_avg", "exp_avg_sq")
        }
