"""Does a device compute what the CPU computes? Small models against float64 on the CPU.

Every difference is ‖found − expected‖ / ‖expected‖ unless its name says otherwise.
"""

import copy
import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from fairway.artifact.calibration import gather_hessians
from fairway.artifact.gptq import GptqSettings
from fairway.artifact.quantization import matrices
from fairway.corpus.windows import WindowPlan
from fairway.machine.devices import autocast
from fairway.model.architecture import ModelConfig
from fairway.model.initialization import initialize
from fairway.model.network import Model
from fairway.scoring.forward import score_windows
from fairway.training.batches import Batches
from fairway.training.loss import next_token_loss
from fairway.training.muon import orthogonalise
from fairway.training.processes import Processes
from fairway.training.qat import fake_quantised
from fairway.training.settings import MICRO_BATCHES, TrainingSettings
from fairway.training.step import Training

_SEQUENCES = 2
_SHARPNESS = 16.0  # of the soft round, as at the end of a training
_STEPS = 5

Outcome = dict[str, Tensor]
Difference = tuple[str, float, float]  # name, found, tolerance


def differences(
    config: ModelConfig,
    settings: TrainingSettings,
    tokens: np.ndarray,
    device: torch.device,
    block: int,
) -> Iterator[Difference]:
    """Everything that training, quantising and scoring compute, for one small model.

    settings: of the record's training, for precision, compile and rates; tokens: a text of the
    model's vocabulary; block: of GPTQ.
    """
    model = small_model(config)
    yield from _passes(model, settings, tokens, device)
    yield from _steps(model, settings, tokens, device)
    yield from _gptq(model, tokens, device, block)
    yield from _scores(model, tokens, device, settings.compile)


def small_model(config: ModelConfig) -> Model:
    """A model on the CPU whose every tensor is random: no term is multiplied by 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    model = initialize(Model(config), generator)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor += 0.05 * torch.randn(tensor.shape, generator=generator)
    return model


def relative(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖, in float64 on the CPU."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    return float((found - expected).norm() / expected.norm())


def _passes(
    model: Model, settings: TrainingSettings, tokens: np.ndarray, device: torch.device
) -> Iterator[Difference]:
    length = model.config.rope_context
    part = torch.from_numpy(tokens[: _SEQUENCES * (length + 1)].astype(np.int64))
    part = part.view(_SEQUENCES, length + 1)
    exact = copy.deepcopy(model).double()
    expected, switched = (_outcome(exact, part, "float32", quantise=q) for q in (False, True))
    there, sent = copy.deepcopy(model).to(device), part.to(device)
    for precision, limits in (("float32", (1e-4, 1e-5, 1e-3)), ("bfloat16", (3e-2, 1e-2, 1e-1))):
        found = _outcome(there, sent, precision)
        for key, limit in zip(("logits", "loss", "gradient"), limits, strict=True):
            yield f"{key}, {precision}", relative(found[key], expected[key]), limit
    loss = next_token_loss
    if settings.compile:
        loss = torch.compile(next_token_loss, fullgraph=True, dynamic=False)
    # the graph is made before the switch, as in a training
    found, quantised = (
        _outcome(there, sent, settings.precision, loss, quantise) for quantise in (False, True)
    )
    how = f"{settings.precision}, {'compiled' if settings.compile else 'not compiled'}"
    yield f"gradient, {how}", relative(found["gradient"], expected["gradient"]), 1e-1
    effect = relative(expected["gradient"], switched["gradient"])
    error = relative(quantised["gradient"], switched["gradient"])
    yield f"gradient with fake quantisation, over its effect, {how}", error / effect, 0.5


def _outcome(
    model: Model, tokens: Tensor, precision: str, loss=next_token_loss, quantise: bool = False
) -> Outcome:
    """Logits, loss and gradient of a batch (sequences, time + 1)."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    weights = [linear.weight for linear in matrices(model).values()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with fake_quantised(weights, _SHARPNESS if quantise else None):
        with autocast(tokens.device, precision):
            mean, penalty = loss(model, inputs, targets)
            with torch.no_grad():
                logits = model(inputs)
        (mean + penalty).backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    return {"logits": logits, "loss": mean, "gradient": gradient}


def _steps(
    model: Model, settings: TrainingSettings, tokens: np.ndarray, device: torch.device
) -> Iterator[Difference]:
    """Some whole steps, optimisers included: the losses on the way, and Muon on its own."""
    length = model.config.rope_context
    per_step = MICRO_BATCHES * _SEQUENCES * length
    batches = Batches([tokens], model.config.vocabulary, length, per_step, seed=1)
    here = torch.device("cpu")
    losses = []
    for where, precision, compiled in (
        (here, "float32", False),
        (device, settings.precision, settings.compile),
    ):
        own = dataclasses.replace(settings, precision=precision, compile=compiled)
        training = Training(copy.deepcopy(model), own, batches, Processes(0, 1, where, parent=0))
        losses.append([training.step(step, 1.0)[0].item() for step in range(_STEPS)])
    cpu, found = (torch.tensor(values) for values in losses)
    yield f"losses of {_STEPS} steps, nats", float((found - cpu).abs().max()), 3e-2
    matrix = torch.randn(3, 128, 96, generator=torch.Generator().manual_seed(2))
    low = torch.bfloat16 if device.type == "cuda" else torch.float32
    found_update = orthogonalise(matrix.to(device), low)
    yield "Muon's update", relative(found_update, orthogonalise(matrix, torch.float64)), 1e-1


def _gptq(
    model: Model, tokens: np.ndarray, device: torch.device, block: int
) -> Iterator[Difference]:
    """The same Hessians and integers wherever they are computed."""
    length = model.config.rope_context
    sequences = tokens[: 8 * length].astype(np.int64).reshape(8, length)
    settings = GptqSettings(block=block)
    results = []
    for where in (torch.device("cpu"), device):
        there = copy.deepcopy(model).to(where).eval().requires_grad_(False)
        linears = matrices(there)
        gathered = gather_hessians(there, linears, sequences, 4)
        chosen = [name for name in linears if name.startswith("blocks.0.")]
        quantised = [gathered[n].quantise(linears[n].weight, settings, n) for n in chosen]
        results.append(([gathered[name].hessian() for name in chosen], quantised))
    (expected, mine), (found, theirs) = results
    worst = max(relative(a, b) for a, b in zip(found, expected, strict=True))
    yield "GPTQ's Hessians, worst", worst, 1e-4
    pairs = list(zip(mine, theirs, strict=True))
    differing = sum(int((a.weight.integers != b.weight.integers).sum()) for a, b in pairs)
    share = differing / sum(a.weight.integers.numel() for a, _ in pairs)
    yield "GPTQ's integers, share that differ", share, 2e-2
    errors = [abs(b.report["error"] / a.report["error"] - 1) for a, b in pairs]
    yield "GPTQ's output error, worst", max(errors), 1e-2


def _scores(
    model: Model, tokens: np.ndarray, device: torch.device, compiled: bool
) -> Iterator[Difference]:
    length = model.config.rope_context
    text = tokens[: 4 * length + 1]
    plan = WindowPlan(len(text) - 1, length, length // 4)
    windows = range(len(plan))
    exact = copy.deepcopy(model).double().eval().requires_grad_(False)
    expected = np.stack(score_windows(exact, text, plan, windows, 4))
    there = copy.deepcopy(model).to(device).eval().requires_grad_(False)
    for precision, single, mean in (("float32", 1e-3, 1e-4), ("bfloat16", 0.5, 5e-3)):
        use = compiled and precision == "bfloat16"
        found = np.stack(
            score_windows(there, text, plan, windows, 4, precision=precision, compiled=use)
        )
        off = np.abs(found - expected)
        yield f"nll and entropy, {precision}, worst target, nats", float(off.max()), single
        shift = np.abs(found.mean(axis=1) - expected.mean(axis=1)).max()
        yield f"nll and entropy, {precision}, their means, nats", float(shift), mean
