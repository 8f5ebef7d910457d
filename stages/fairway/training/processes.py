"""The processes of one training: how they start, find each other and add up tensors.

A process runs on its own, as a rank that `launch` starts, or as one under torch.distributed.run.
NCCL between GPUs, gloo between CPUs; both at once for CPU values in a GPU training.

What torch keeps in a store, by which ranks find each other, is unpickled by whoever reads it. So
ranks of `launch` meet in a file that only this user can open, and on one machine they talk over
its loopback alone: nothing listens to the network, and the machine's name need not resolve.
"""

from fairway.start import run

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from fairway.machine.devices import hold_gpus, prepare_cpu, show_gpus
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


@dataclass(frozen=True)
class Place:
    """Where a process stands: among all, among those on its machine, and under whom.

    store: the file by which ranks of `launch` find each other; None under torch.distributed.run.
    """

    rank: int
    world_size: int
    local_rank: int
    local_size: int
    parent: int  # process id of the launcher
    store: Path | None = None


def is_launched() -> bool:
    """Whether this process is a rank started by torch.distributed.run."""
    return dist.is_torchelastic_launched()


def own_place() -> Place:
    """The place of a process that `launch` did not start."""
    if not is_launched():
        return Place(0, 1, 0, 1, os.getppid())
    keys = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"
    return Place(*(int(os.environ[key]) for key in keys), os.getppid())


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
def joined(settings: TrainingSettings, place: Place) -> Iterator[Processes]:
    """Take this process's place; yields it, and leaves the group when all went well.

    Raises StageError if the launched processes are not as many as training.world_size.
    """
    if place.world_size != settings.world_size:
        raise StageError(
            f"training.world_size: {settings.world_size}; "
            f"launched with {place.world_size} processes"
        )
    check_devices(settings, place.local_size)
    prepare_cpu(settings.threads)
    device = torch.device("cpu")
    if settings.device == "cuda":
        alone = place.local_size == 1
        device = torch.device("cuda", hold_gpus(1)[0] if alone else place.local_rank)
        torch.cuda.set_device(device)
    if place.world_size > 1:
        _join_group(place, device)
    yield Processes(place.rank, place.world_size, device, place.parent)
    if place.world_size > 1:
        dist.destroy_process_group()


def _join_group(place: Place, device: torch.device) -> None:
    """Meet the other processes; StageError if they cannot be found."""
    if place.local_size == place.world_size:
        loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = loopback
        os.environ["MASTER_ADDR"] = "127.0.0.1"  # torchrun sets this machine's name
    on_cuda = device.type == "cuda"
    try:
        if place.store is None:
            socket.getaddrinfo(os.environ["MASTER_ADDR"], None)  # torch would try for minutes
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
            store=place.store and dist.FileStore(str(place.store), place.world_size),
            rank=place.rank,
            world_size=place.world_size,
            device_id=device if on_cuda else None,
        )
    except (RuntimeError, OSError) as error:
        reason = str(error).partition("\n")[0]
        where = "" if place.store else f" at MASTER_ADDR {os.environ['MASTER_ADDR']}"
        raise StageError(
            f"rank {place.rank} of {place.world_size}: cannot join the others{where}: {reason}"
        ) from None


def launch(work: Callable[[Place], None], settings: TrainingSettings) -> None:
    """Run `work` (a function that can be pickled) in `world_size` processes on this machine.

    On `cuda`, each gets a GPU that no other stage holds. Returns when all have ended well. If one
    reported bad input, exits with its code; raises StageError if one ended otherwise or this
    process was told to stop, after ending the rest.
    """
    from torch.multiprocessing import ProcessExitedException, start_processes

    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.CRITICAL)
    size = settings.world_size
    if settings.device == "cuda":
        show_gpus(hold_gpus(size))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    with tempfile.TemporaryDirectory(prefix="fairway-ranks-") as folder:
        store = Path(folder) / "store"
        places = [Place(rank, size, rank, size, os.getpid(), store) for rank in range(size)]
        try:
            ranks = start_processes(
                _run_rank, (work, places), size, join=False, start_method="spawn"
            )
            while not ranks.join():
                pass
        except ProcessExitedException as error:
            if error.exit_code == EXIT_BAD_INPUT:
                sys.exit(EXIT_BAD_INPUT)
            name, code = error.signal_name, error.exit_code
            how = f"signal {name}" if name else f"exit code {code}"
            raise StageError(f"rank {error.error_index} of {size} ended with {how}") from None
        finally:
            for rank in multiprocessing.active_children():
                rank.kill()


def _run_rank(rank: int, work: Callable[[Place], None], places: list[Place]) -> None:
    run(lambda: work(places[rank]))


def _stop(number: int, frame: object) -> None:
    raise StageError(f"stopped by {signal.Signals(number).name}")
