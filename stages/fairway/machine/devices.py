"""The device a stage computes on."""

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from fairway.machine.gpu_locks import hold_free
from fairway.stage import StageError

_ATTENTION = [  # the fastest on a Hopper GPU first
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_KEPT = 32 << 20  # bytes of an array, the most that mallopt takes
_NEVER = 2**31 - 1


def prepare_device(device: str, threads: int) -> torch.device:
    """Set the number of CPU threads and return the device, `cpu` or a GPU that is ours alone.

    Raises StageError if there is no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise StageError("device: cuda; this machine has no GPU that torch can use, expected cpu")
    prepare_cpu(threads)
    if device != "cuda":
        return torch.device(device)
    chosen = torch.device("cuda", hold_gpus(1)[0])
    torch.cuda.set_device(chosen)
    return chosen


def prepare_cpu(threads: int) -> None:
    """Set the number of CPU threads, and keep freed memory for what is allocated next.

    Left alone, glibc gives large arrays back when they are freed, and each new one begins with
    page faults: a sixth of a small training's time.
    """
    torch.set_num_threads(threads)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, others need not
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, _NEVER)


@contextlib.contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Context in which a forward computes in `precision`: bfloat16 or float32.

    bfloat16: matrix products and activations; weights, norms, softmax and loss stay float32. On a
    GPU, attention is by the first of _ATTENTION that takes it: which one torch would choose
    depends on its version and on cuDNN's, by half the time that attention takes.
    """
    with contextlib.ExitStack() as entered:
        if device.type == "cuda":
            entered.enter_context(sdpa_kernel(_ATTENTION, set_priority=True))
        enabled = precision == "bfloat16"
        entered.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=enabled))
        yield


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device. On a GPU it arrives while the CPU goes on; it should be in one
    piece: a view with gaps is copied by way of memory that the CPU must wait for."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Fetched:
    """A tensor on its way to the CPU, waited for without waiting for what was queued later."""

    def __init__(self, tensor: Tensor) -> None:
        self.copy = tensor.to("cpu", non_blocking=True)  # into pinned memory
        self.arrived = torch.cuda.Event() if tensor.is_cuda else None
        if self.arrived is not None:
            self.arrived.record()

    def values(self) -> Tensor:
        """The tensor, on the CPU."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.copy


def hold_gpus(count: int) -> list[int]:
    """Indices, among the visible GPUs, of `count` that no other stage holds; waits for them.

    They are this process's until it ends. Raises StageError if not as many are visible.
    """
    visible = range(torch.cuda.device_count())
    # not by index: another process may be shown the same GPU under another one
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in visible]
    return hold_free(names, count, Path(tempfile.gettempdir()) / f"fairway-gpus-{os.getuid()}")


def show_gpus(indices: list[int]) -> None:
    """Let processes started from now on see only these of the visible GPUs."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = shown.split(",") if shown else [str(i) for i in range(torch.cuda.device_count())]
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[index] for index in indices)
