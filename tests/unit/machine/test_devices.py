"""The device a stage computes on."""

import pytest
import torch

from fairway.machine.devices import prepare_device
from fairway.stage import StageError


def test_threads_are_set():
    before = torch.get_num_threads()
    try:
        assert prepare_device("cpu", 2) == torch.device("cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_absent_gpu_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StageError, match=r"device: cuda; .* expected cpu"):
        prepare_device("cuda", 1)
