"""Calibration: the inputs of every matrix while the model reads training text."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from fairway.artifact.gptq import Gptq
from fairway.machine.devices import autocast, to_device
from fairway.model.layers import Linear
from fairway.model.network import Model
from fairway.stage import StageError

_READS_LIKE = {"k": "q", "v": "q"}  # matrices that read what another of their block reads


def calibration_sequences(shards: list[np.ndarray], tokens: int, length: int) -> np.ndarray:
    """Sequences spread evenly over the shards' tokens: int64 (sequences, length), no overlap.

    tokens: how many are wanted in all, rounded up to whole sequences; fewer are returned if the
    text is shorter. A sequence does not cross from shard to shard. Raises StageError if no shard
    holds one sequence.
    """
    slots = [len(shard) // length for shard in shards]
    available = sum(slots)
    if available == 0:
        longest = max((len(shard) for shard in shards), default=0)
        raise StageError(
            f"training text: longest shard of {longest} tokens; calibration needs "
            f"a sequence of {length}"
        )
    count = min(-(-tokens // length), available)
    ends = np.cumsum(slots)
    sequences = []
    for slot in (np.arange(count) * available) // count:
        shard = int(np.searchsorted(ends, slot, side="right"))
        start = (int(slot) - int(ends[shard]) + slots[shard]) * length
        sequences.append(shards[shard][start : start + length].astype(np.int64))
    return np.stack(sequences)


@torch.inference_mode()
def gather_hessians(
    model: Model,
    matrices: dict[str, Linear],
    sequences: np.ndarray,
    batch: int,
    progress: Callable[[int], None] = lambda tokens: None,
    precision: str = "float32",
) -> dict[str, Gptq]:
    """Run the model's own forward over the sequences and collect the inputs of its matrices.

    A block that several virtual layers run collects the inputs of all of them. Its q, k and v
    read the same and share one. matrices: by the name of their weight; batch: sequences per
    forward; progress: called with the tokens of each batch; precision: of the forward, the
    products of inputs are float32.
    """
    device = model.token_embedding.device
    result, handles = {}, []
    for name, module in matrices.items():
        block, part, _ = name.rsplit(".", 2)
        reader = f"{block}.{_READS_LIKE.get(part, part)}.weight"
        if reader in result:
            result[name] = result[reader]
            continue
        gptq = result[name] = Gptq(module.weight.shape[1], device)
        handles.append(module.register_forward_pre_hook(_collector(gptq)))
    try:
        for start in range(0, len(sequences), batch):
            part = to_device(torch.from_numpy(sequences[start : start + batch]), device)
            with autocast(device, precision):
                model.stream(part)
            progress(part.numel())
    finally:
        for handle in handles:
            handle.remove()
    return result


def _collector(gptq: Gptq) -> Callable[[nn.Module, tuple], None]:
    def collect(module: nn.Module, inputs: tuple) -> None:
        gptq.add_batch(inputs[0])

    return collect
