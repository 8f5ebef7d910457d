"""The default model beside a plain GPT of the same width and depth, at equal CPU seconds.

    ./run && python bench/training.py results/corpus
    python bench/training.py results/corpus --seconds 160 --targets 30400

The plain one: learned positions, LayerNorm, GELU, no gates, AdamW at three learning rates, of
which the best counts. Both read the same batches, in the same order, with rates that fall to 0
over the second half; one thread. Bits per byte are of the first targets of the validation text, by
the windows that the configuration scores with. Prints a line for each, then the ratio.
"""

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from fairway.start import run

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from fairway.corpus.shards import read_shard
from fairway.corpus.windows import WindowPlan
from fairway.machine.devices import prepare_cpu
from fairway.model.architecture import ModelConfig
from fairway.model.initialization import initialize
from fairway.model.network import Model
from fairway.scoring.forward import score_windows
from fairway.training.batches import Batches
from fairway.training.processes import Processes
from fairway.training.settings import TrainingSettings
from fairway.training.step import Training

ROOT = Path(__file__).resolve().parents[1]
RATES = (3e-4, 1e-3, 3e-3)
MLP = 4  # times the width
WEIGHT_DECAY, BETAS, CLIP = 0.1, (0.9, 0.95), 1.0
SEED = 1337


class PlainGpt(nn.Module):
    """A decoder as in GPT-2, with the interface of a Model. Head and embedding are one."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, depth = config.width, len(config.virtual_layers)
        self.config = config
        self.token_embedding = nn.Parameter(0.02 * torch.randn(config.vocabulary, width))
        self.positions = nn.Parameter(0.02 * torch.randn(config.rope_context, width))
        self.layers = nn.ModuleList(PlainLayer(width, config.heads, depth) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, last: int | None = None) -> Tensor:
        x = F.embedding(tokens, self.token_embedding) + self.positions[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        x = x if last is None else x[:, -last:]
        return F.linear(self.norm(x), self.token_embedding)


class PlainLayer(nn.Module):
    """Attention and MLP, each behind a LayerNorm."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, MLP * width), nn.Linear(MLP * width, width)
        for linear in (self.qkv, self.out, self.up, self.down):
            writes = linear in (self.out, self.down)
            nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * depth if writes else 1))
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norms[0](x)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


def scale_at(spent: float, seconds: float) -> float:
    """Factor of the learning rates: 1, then linear to 0 over the second half."""
    return min(1.0, 2 * max(0.0, 1 - spent / seconds))


def trained(config: ModelConfig, settings: TrainingSettings, batches: Batches, seconds: float):
    """The pipeline's model after so many CPU seconds of its own training, and its steps."""
    alone = Processes(0, 1, torch.device("cpu"), parent=0)
    model = initialize(Model(config), torch.Generator().manual_seed(SEED))
    training = Training(model, settings, batches, alone)
    start, steps = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        training.step(steps, scale_at(spent, seconds))
        steps += 1
    training.finish()
    return model, steps


def trained_plain(config: ModelConfig, batches: Batches, seconds: float, rate: float):
    """A plain GPT after so many CPU seconds of AdamW, and its steps."""
    torch.manual_seed(SEED)
    model = PlainGpt(config)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, rate, BETAS, weight_decay=WEIGHT_DECAY, fused=True)
    start, steps = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        tokens = batches.micro_batches(steps, 0, 1).flatten(0, 1)
        logits = model(tokens[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for group in adam.param_groups:
            group["lr"] = rate * scale_at(spent, seconds)
        adam.step()
        adam.zero_grad()
        steps += 1
    return model, steps


def bits_per_byte(model: Any, text: np.ndarray, sizes: np.ndarray, windows: dict) -> float:
    """Of all targets of a text (targets + 1,), whose sizes are bytes."""
    model.eval().requires_grad_(False)
    plan = WindowPlan(len(text) - 1, **windows)
    nll, _ = score_windows(model, text, plan, range(len(plan)), 4)
    return float(nll.astype(np.float64).sum() / math.log(2) / sizes.sum())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="corpus folder of a default run")
    parser.add_argument("--seconds", type=float, default=30, help="CPU seconds of a training")
    parser.add_argument("--targets", type=int, default=16384, help="of the validation text")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    whole = yaml.safe_load((ROOT / "config.yaml").read_text())
    settings, vocabulary = whole["models"]["ebls"], whole["corpus"]["vocabulary"]
    config = ModelConfig.from_settings(settings["architecture"], vocabulary)
    training = TrainingSettings.from_settings(settings["training"])
    prepare_cpu(1)
    shard = read_shard(options.corpus / "train.bin", vocabulary)
    batches = Batches([shard], vocabulary, training.sequence, training.batch_tokens, SEED)
    text = read_shard(options.corpus / "val.bin", vocabulary)[: options.targets + 1]
    sizes = np.load(options.corpus / "val_bytes.npy")[: len(text) - 1]

    def told(name: str, model: Any, steps: int) -> float:
        found = bits_per_byte(model, text, sizes, whole["windows"])
        count = sum(parameter.numel() for parameter in model.parameters())
        print(f"{name}: {found:.4f} bits per byte, {steps} steps, {count:,} values", flush=True)
        return found

    ours = told("Fairway", *trained(config, training, batches, options.seconds))
    plain = min(
        told(f"plain GPT, AdamW {rate:g}", *trained_plain(config, batches, options.seconds, rate))
        for rate in RATES
    )
    print(f"bits per byte of the best plain GPT are {plain / ours:.3f} times as many")


if __name__ == "__main__":
    run(main)
