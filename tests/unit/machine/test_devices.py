"""The device a stage computes on."""

import json
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend

from fairway.machine import devices
from fairway.machine.devices import _ATTENTION, autocast, prepare_device
from fairway.stage import StageError

PAGE_FAULTS = """
import json, resource, torch
from fairway.machine.devices import prepare_cpu
prepare_cpu(1)
faults = []
for _ in range(10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for millions in range(1, 9):
        torch.zeros(millions * 1_000_000)  # and freed
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(json.dumps(faults))
"""


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
    """Ten rounds make the pages of about one, 144 MB; left alone, glibc mostly makes those of two,
    and with only one of the two settings those of ten.

    In a process of its own, as the settings cannot be taken back, and one array at a time: arrays
    that lie beside each other leave gaps, which depend on all that the process did before.
    """
    done = subprocess.run(
        [sys.executable, "-c", PAGE_FAULTS],
        cwd=Path(devices.__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    faults = json.loads(done.stdout)
    assert sum(faults) < 1.4 * 144_000_000 / resource.getpagesize(), faults
