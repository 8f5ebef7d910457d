"""The processes of one training: how they start, find each other and add up tensors.

A process runs on its own, or as one rank under torch.distributed.run, which `launch` starts.
NCCL between GPUs, gloo between CPUs; both at once for CPU values in a GPU training.
"""

import contextlib
import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from fairway.machine.devices import hold_gpus, show_gpus
from fairway.stage import EXIT_BAD_INPUT, StageError
from fairway.training.settings import TrainingSettings


@dataclass(frozen=True)
class Processes:
    """This process's place among those of the training."""

    rank: int
    world_size: int
    device: torch.device
    parent: int  # process id of the launcher

    @property
    def is_first(self) -> bool:
        """Whether this process writes the outputs."""
        return self.rank == 0

    def sum_in_place(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.world_size > 1:
            dist.all_reduce(tensor)

    def take_first(self, tensors: list[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.world_size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def first_value(self, value: float) -> float:
        """The first process's value, on all; travels between CPUs, so no GPU waits for it."""
        if self.world_size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(shared, src=0)
        return shared.item()

    def agree(self, value: int) -> bool:
        """Whether all processes have the same value."""
        if self.world_size == 1:
            return True
        extremes = torch.tensor([value, -value])
        dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
        return int(extremes.sum()) == 0

    def check_parent(self) -> None:
        """Raise StageError if the launcher is gone: ranks do not outlive it."""
        if self.world_size > 1 and os.getppid() != self.parent:
            raise StageError(f"rank {self.rank}: the process that launched it has ended")


def is_launched() -> bool:
    """Whether this process is a rank started by torch.distributed.run."""
    return dist.is_torchelastic_launched()


def check_devices(settings: TrainingSettings, processes_here: int) -> None:
    """Raise StageError unless every process on this machine can have a device of its own."""
    if settings.device != "cuda":
        return
    found = torch.cuda.device_count()
    if found < processes_here:
        raise StageError(
            f"training.device: cuda with {processes_here} processes on this machine; "
            f"it has {found} CUDA devices"
        )


@contextlib.contextmanager
def joined(settings: TrainingSettings) -> Iterator[Processes]:
    """Take this process's place; yields it, and leaves the group when all went well.

    Raises StageError if the launched processes are not as many as training.world_size.
    """
    rank, world_size, local_rank, local_size = 0, 1, 0, 1
    if is_launched():
        keys = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"
        rank, world_size, local_rank, local_size = (int(os.environ[key]) for key in keys)
    if world_size != settings.world_size:
        raise StageError(
            f"training.world_size: {settings.world_size}; launched with {world_size} processes"
        )
    check_devices(settings, local_size)
    torch.set_num_threads(settings.threads)
    device = torch.device("cpu")
    if settings.device == "cuda":
        device = torch.device("cuda", local_rank if is_launched() else hold_gpus(1)[0])
        torch.cuda.set_device(device)
    if world_size > 1:
        on_cuda = device.type == "cuda"
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_cuda else "gloo", device_id=device if on_cuda else None
        )
    yield Processes(rank, world_size, device, os.getppid())
    if world_size > 1:
        dist.destroy_process_group()


def launch(script: Path, arguments: list[str], settings: TrainingSettings) -> None:
    """Run a script in `world_size` processes on this machine, as `torchrun --standalone` does.

    On `cuda`, each gets a GPU that no other stage holds. Returns when all have ended well. If one
    reported bad input, exits with its code; raises StageError if one ended otherwise, after ending
    the rest.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    world_size = settings.world_size
    if settings.device == "cuda":
        show_gpus(hold_gpus(world_size))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=world_size,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-u", str(script), *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode == EXIT_BAD_INPUT:
            sys.exit(EXIT_BAD_INPUT)
        code = failure.exitcode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise StageError(f"rank {rank} of {world_size} ended with {how}") from None
    except SignalException as error:
        raise StageError(f"stopped by {error.sigval.name}") from None
