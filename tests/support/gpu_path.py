"""The GPU path without a GPU: what the stages do on `cuda`, with fake tensors on a fake device.

    python tests/support/gpu_path.py libfakecuda.so

Fake tensors have a device, a type and a shape, and no values. So what is found: a tensor on the
wrong device, a type that does not fit under CUDA's rules of autocast, and a read by the CPU, for
which a GPU would have to be waited for. Runs the models of config/fineweb.yaml, made small, and
one of them with each of some faults, which must be found. A program of its own, since the library
(fake_cuda.cpp) is loaded before torch. Prints JSON: for each case what was found, or null.
"""

import ctypes
import dataclasses
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from unittest import mock

ctypes.CDLL(sys.argv[1])
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "stages"), str(ROOT / "bench")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from gpu_parts.workload import Workload, load_workloads, reduced  # noqa: E402
from torch import Tensor  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.fx.experimental.symbolic_shapes import ShapeEnv  # noqa: E402

from fairway.artifact import calibration, gptq, quantization, rates, sensitivity, steps  # noqa: E402
from fairway.corpus.windows import WindowPlan  # noqa: E402
from fairway.machine.devices import autocast  # noqa: E402
from fairway.model import layers, network  # noqa: E402
from fairway.model.architecture import ModelConfig  # noqa: E402
from fairway.scoring import forward  # noqa: E402
from fairway.training import comparison, muon, step  # noqa: E402
from fairway.training.processes import Processes  # noqa: E402
from fairway.training.settings import MICRO_BATCHES  # noqa: E402

CUDA = torch.device("cuda", 0)


class Connected(Processes):
    """A process among others: what it would send must be on its GPU."""

    def sum_in_place(self, tensor: Tensor) -> None:
        assert tensor.device == CUDA

    def take_first(self, tensors: list[Tensor]) -> None:
        assert {tensor.device for tensor in tensors} == {CUDA}


class Text:
    """In the place of Batches: one micro-batch of two sequences, or two, where there are eight."""

    per_step, total = 2 * MICRO_BATCHES, 100

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence

    def last_of_epoch(self, count: int) -> Tensor:
        return torch.zeros(min(count, 4), self.sequence + 1, dtype=torch.int64)

    def micro_batches(self, step: int, rank: int, world_size: int) -> Tensor:
        shape = (1 if world_size == MICRO_BATCHES else 2, 2, self.sequence + 1)
        return torch.zeros(shape, dtype=torch.int64)


def small(config: ModelConfig) -> ModelConfig:
    """The kind of model, as narrow as it can be: GPTQ goes through it column by column."""
    least = {"width": 32, "heads": 2, "kv_heads": 1, "mlp_width": 96, "rope_dims": 8}
    return dataclasses.replace(reduced(config), rope_context=128, **least)


def train(model: network.Model, work: Workload, world_size: int, scales: list[float]) -> None:
    """Steps at these rates (a plain one; below 0.2 also SWA, below 0.15 fake-quantised as well), a
    state saved and loaded, raw weights beside averaged ones, the final weights."""
    processes = Connected(0, world_size, CUDA, parent=0)
    settings = dataclasses.replace(work.training, compile=False, kernels=(), swa_every=1)
    training = step.Training(model, settings, Text(model.config.rope_context), processes)
    for number, scale in enumerate(scales):
        assert training.step(number, scale).device == CUDA
    assert training.averages.snapshots == 1
    losses = comparison.Comparison(training).losses()
    assert (losses.device, losses.dtype) == (CUDA, torch.float32)
    training.load_state(training.state(), 1)
    training.finish()


@torch.inference_mode()
def score(model: network.Model) -> None:
    """A batch of two windows."""
    context = model.config.rope_context
    tokens, plan = np.zeros(2 * context + 1, np.uint16), WindowPlan(2 * context, context, 64)
    windows = [plan.window(index) for index in (1, 2)]
    inputs, targets = (
        part(model, tokens, windows) for part in (forward._inputs, forward._targets)
    )
    with autocast(CUDA, "bfloat16"):
        scores = forward._score(model, inputs, targets)
    assert (scores.device, scores.dtype, scores.shape) == (CUDA, torch.float32, (2, 128))


def quantise(model: network.Model) -> None:
    """Calibration, and GPTQ of a matrix, by percentiles and with steps that a search would choose;
    what values decide is made up."""
    sequences = np.zeros((2, model.config.rope_context), np.int64)
    matrices = quantization.matrices(model)
    hessians = calibration.gather_hessians(model, matrices, sequences, 2, precision="bfloat16")
    factor = torch.linalg.cholesky_ex
    answers = {"bool": lambda _: True, "float": lambda _: 1.0, "int": lambda _: 1}
    counted = mock.Mock(tolist=lambda: [0] * 5)
    with (
        mock.patch.multiple(gptq, create=True, **answers),
        mock.patch.multiple(steps, create=True, **answers),
        mock.patch("torch.bincount", lambda *_, **__: counted),
        mock.patch("torch.linalg.cholesky_ex", lambda *a, **k: (factor(*a, **k)[0], False)),
        mock.patch("torch.equal", lambda a, b: a is b),
    ):
        name, matrix = next(iter(matrices.items()))
        settings = gptq.GptqSettings(block=16)
        weight = hessians[name].quantise(matrix.weight, settings, name).weight
        rows = sensitivity.row_sensitivities(
            model, [name, "token_embedding"], sequences, precision="bfloat16"
        )
        on_cpu = matrix.weight.detach().cpu().double()
        tensor, columns = steps._for_gptq(on_cpu, rows[name], hessians[name], 0.01, name)
        choice = rates.Choice({name: tensor.scales(0.1)}, {}, {name: columns}, "int8")
        of_one = {name: (hessians[name], matrix.weight)}
        searched = quantization._with_steps(of_one, settings, choice)[name].weight
    for found in (weight, searched):
        assert found.integers.device.type == "cpu" and found.scale.dtype == torch.float16
    assert searched.columns.device.type == "cpu" == rows["token_embedding"].device.type


def everything(work: Workload) -> None:
    """All that the stages do with a model on a GPU."""
    shapes = ShapeEnv(allow_scalar_outputs=False, allow_dynamic_output_shape_ops=True)
    with (
        mock.patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
        mock.patch("torch.cuda.is_bf16_supported", lambda *_, **__: True),
        mock.patch("torch.Tensor.pin_memory", lambda tensor: tensor),
        mock.patch("torch.nn.Module.to", lambda module, device: module),
        FakeTensorMode(shape_env=shapes, allow_non_fake_inputs=True),
    ):
        with CUDA:
            model = network.Model(small(work.config))
        train(model, work, MICRO_BATCHES, [1.0, 0.0])
        train(model, work, 1, [0.19])
        model.requires_grad_(False)
        score(model)
        quantise(model)


def rotation_on_the_cpu() -> mock._patch:
    right = network.Model.rotary

    def wrong(*arguments) -> tuple[Tensor, ...]:
        return tuple(part.cpu() for part in right(*arguments))

    return mock.patch.object(network.Model, "rotary", wrong)


def read_in_muon() -> mock._patch:
    right = muon.orthogonalise

    def wrong(matrices: Tensor, dtype: torch.dtype) -> Tensor:
        return right(matrices, dtype) if matrices.norm().item() > 0 else matrices

    return mock.patch.object(muon, "orthogonalise", wrong)


def rotation_in_float64() -> mock._patch:
    """Which autocast leaves as it is, unlike float32."""
    right = layers.rotate
    return mock.patch.object(layers, "rotate", lambda *arguments: right(*arguments).double())


def found(work: Workload, fault: AbstractContextManager) -> str | None:
    """The error of a run with a fault."""
    try:
        with fault:
            everything(work)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def main() -> None:
    works = load_workloads([ROOT / "config/fineweb.yaml"], "cuda", compiled=False)
    cases = {work.name: found(work, nullcontext()) for work in works}
    for fault in (rotation_on_the_cpu, read_in_muon, rotation_in_float64):
        cases[fault.__name__] = found(works[0], fault())
    print(json.dumps(cases))


if __name__ == "__main__":
    main()
