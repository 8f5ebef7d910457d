"""The device a stage computes on."""

import platform
import resource

import pytest
import torch
from torch.nn.attention import SDPBackend

from fairway.machine.devices import _ATTENTION, autocast, prepare_cpu, prepare_device
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_kept_for_the_next_array() -> None:
    """Left alone, glibc gives these back: 10 × 2 × 6,000 pages to be made anew."""
    prepare_cpu(torch.get_num_threads())
    faults = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        arrays = [torch.zeros(6_000_000), torch.zeros(6_000_000)]
        del arrays
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert sum(faults[3:]) < 1000, faults
