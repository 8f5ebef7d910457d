"""The customary lines of a contest log, which `tables/contest_logs.py` reads again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fairway.tables.metrics import Done, Step


@dataclass(frozen=True)
class Sizes:
    """Bytes: the checkpoint, the network packed, the memory (0 without one), and all the code.

    compressor: of the network.
    """

    checkpoint: int
    network: int
    memory: int
    code: int
    compressor: str

    @property
    def total(self) -> int:
        return self.network + self.memory + self.code


def head(seed: int, run_id: str, world_size: int, training: dict[str, Any]) -> Iterator[str]:
    """What a log begins with. training: the model's `training` section."""
    yield f"run_id:{run_id}"
    yield f"seed:{seed}"
    yield f"world_size:{world_size} grad_accum_steps:{8 // world_size}"
    cap = training["max_seconds"] or 0
    yield (
        f"train_batch_tokens:{training['batch_tokens']} train_seq_len:{training['sequence']} "
        f"iterations:{training['steps']} warmup_steps:{training['warmup_steps']} "
        f"max_wallclock_seconds:{cap:.3f}"
    )


def step(line: Step, steps: int) -> str:
    """One line of a training's metrics. steps: of the whole training."""
    milliseconds = 1e3 * line.seconds
    return (
        f"step:{line.step}/{steps} train_loss:{line.loss:.4f} train_time:{milliseconds:.0f}ms "
        f"step_avg:{milliseconds / line.step:.2f}ms"
    )


def trained(done: Done, steps: int) -> Iterator[str]:
    """What is known when a training has ended. steps: that it was to have."""
    if done.steps < steps:
        yield (
            f"stopping_early: wallclock_cap train_time:{1e3 * done.seconds:.0f}ms "
            f"step:{done.steps}/{steps}"
        )
    yield f"model_params:{done.parameters}"


def sizes(found: Sizes) -> Iterator[str]:
    """Sizes of the model before and after packing, of the code, and of all that is handed in."""
    network = f"quantized+{found.compressor}"
    kind = f"{network}+memory" if found.memory else network
    yield f"Serialized model: {found.checkpoint} bytes"
    yield f"Code size: {found.code} bytes"
    if found.memory:
        yield f"Serialized network {network}: {found.network} bytes"
        yield f"Serialized memory: {found.memory} bytes"
    yield f"Serialized model {kind}: {found.network + found.memory} bytes"
    yield f"Total submission size {kind}: {found.total} bytes"


def cache(settings: dict[str, Any] | None) -> Iterator[str]:
    """The line of a row's cache, if it has one. settings: of the cache."""
    if settings is not None:
        orders = f"{settings['min_order']}-{settings['max_order']}"
        memory = settings["memory"] or "none"
        yield f"ngram_cache:enabled orders={orders} kind={settings['kind']} memory={memory}"


def result(label: str, nats: float, targets: int, bpb: float, seconds: float) -> Iterator[str]:
    """A score, and the same with all its digits. nats: the sum over all targets."""
    loss = nats / targets
    name = f"quantized_{label}"
    yield f"{name} val_loss:{loss:.4f} val_bpb:{bpb:.4f} eval_time:{1e3 * seconds:.0f}ms"
    yield f"{name}_exact val_loss:{loss:.8f} val_bpb:{bpb:.8f}"


def label(cache_settings: dict[str, Any] | None) -> str:
    """The name of a row's score: that of the network alone, or with n-grams."""
    if cache_settings is None:
        return "sliding_window"
    return f"sliding_window_ngram{cache_settings['max_order']}"
