"""The device a stage computes on."""

import torch

from fairway.stage import StageError


def prepare_device(device: str, threads: int) -> torch.device:
    """Set the number of CPU threads and return the device, `cpu` or `cuda`.

    Raises StageError if there is no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise StageError("device: cuda; this machine has no GPU that torch can use, expected cpu")
    torch.set_num_threads(threads)
    return torch.device(device)
