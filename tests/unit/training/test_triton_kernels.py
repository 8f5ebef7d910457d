"""Triton's kernels against the definitions, in Triton's interpreter on the CPU.

Skipped where Triton is not installed: envs/triton.txt, which .ci/run installs.
"""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch

from fairway import training
from fairway.model.architecture import ModelConfig
from fairway.model.layers import Operations
from fairway.model.network import Model
from fairway.training import operations
from fairway.training.batches import Batches
from fairway.training.operations import chosen_operations
from fairway.training.processes import Processes
from fairway.training.settings import KERNELS, TrainingSettings
from fairway.training.step import Training
from support.configs import ROOT
from support.tiny_models import tiny_config
from support.tiny_training import ARCHITECTURE, TRAINING, VOCABULARY, markov_tokens

CPU = torch.device("cpu")
ABSENT = "Triton is not installed (envs/triton.txt)"


def printed_by(program: str, **variables: str) -> dict[str, float]:
    """What a program of tests/support prints."""
    pytest.importorskip("triton", reason=ABSENT)
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, ROOT / "tests" / "support" / program]
    done = subprocess.run(
        command, env=environment | variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_results_and_gradients_are_the_definitions() -> None:
    found = printed_by("triton_interpreted.py", TRITON_INTERPRET="1")
    assert len(found) == len(KERNELS) * 3 * 2 + 2
    off = {
        name: difference
        for name, difference in found.items()
        if not difference <= (5e-3 if "bfloat16" in name else 5e-6)
    }
    assert not off


def test_kernels_compile_for_an_h100(tmp_path) -> None:
    """The interpreter takes what a GPU's compiler may refuse."""
    code = printed_by("triton_for_hopper.py", TRITON_CACHE_DIR=str(tmp_path))
    assert len(code) == 2 * len(KERNELS) and min(code.values()) > 1000


def test_each_name_is_that_of_a_definition() -> None:
    assert [field.name for field in dataclasses.fields(Operations)] == list(KERNELS)


def test_a_kernel_that_fails_its_check_is_off_and_a_line_says_so(monkeypatch) -> None:
    def of_another_slope(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.leaky_relu(x, 0.4) ** 2

    def of_another_device(*arguments: object) -> torch.Tensor:
        raise RuntimeError("no kernel image\nis available")

    some = {
        "leaky_square": of_another_slope,
        "turned": of_another_device,
        "without_own_value": Operations().without_own_value,
    }
    monkeypatch.setattr(operations, "kernels", lambda: some)
    found, notes = chosen_operations(KERNELS, tiny_config(), CPU, torch.float32)
    assert found == Operations()
    assert [note.partition(" (")[0] for note in notes] == [
        "kernel leaky_square is off: 0.098 from its definition",
        "kernel turned is off: RuntimeError: no kernel image",
    ]


def test_without_triton_all_kernels_are_off(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "fairway.training.triton_kernels", raising=False)
    monkeypatch.delattr(training, "triton_kernels", raising=False)
    found, notes = chosen_operations(KERNELS[:1], tiny_config(), CPU, torch.float32)
    assert found == Operations() and len(notes) == 1
    assert notes[0].startswith("kernel leaky_square is off: ")
    assert chosen_operations((), tiny_config(), CPU, torch.float32) == (Operations(), [])


def test_a_training_uses_what_was_chosen_and_says_what_is_off(monkeypatch, capsys) -> None:
    chosen = Operations(leaky_square=torch.relu)
    asked = []

    def choose(*arguments: object) -> tuple[Operations, list[str]]:
        asked.append(arguments)
        return chosen, ["kernel turned is off: as a test wants it"]

    monkeypatch.setattr("fairway.training.step.chosen_operations", choose)
    settings = TrainingSettings.from_settings({**TRAINING, "precision": "bfloat16"})
    batches = Batches([markov_tokens(3000, seed=0)], VOCABULARY, 16, 256, seed=1)
    model = Model(ModelConfig.from_settings(ARCHITECTURE, VOCABULARY))
    made = Training(model, settings, batches, Processes(0, 1, CPU, parent=0))
    assert asked == [((), model.config, CPU, torch.bfloat16, False)]
    assert all(layer.operations is chosen for layer in made.model.layers)
    assert capsys.readouterr().err == "kernel turned is off: as a test wants it\n"
