"""The device a stage computes on."""

import pytest
import torch
from torch.nn.attention import SDPBackend

from fairway.machine.devices import _ATTENTION, autocast, prepare_device
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


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_attention_on_a_gpu_is_by_a_kernel_that_was_chosen():
    before = torch._C._get_sdp_priority_order()
    with autocast(torch.device("cuda"), "bfloat16"):
        assert torch._C._get_sdp_priority_order()[:4] == [int(kind) for kind in _ATTENTION]
        assert _ATTENTION[0] == SDPBackend.CUDNN_ATTENTION
    with autocast(torch.device("cpu"), "bfloat16"):
        assert torch._C._get_sdp_priority_order() == before
        assert torch.is_autocast_enabled("cpu")
