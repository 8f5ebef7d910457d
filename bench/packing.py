"""Rate and distortion of packed models: bits per weight against what they cost in loss.

    python bench/packing.py                          # a finished default run in results/
    python bench/packing.py --results ~/run/results --figure docs/packing.png
    python bench/packing.py --drawn 11               # matrices of the record's shapes, no run

One line per method: the clip or the search, and the coder. Bits per weight are of all integers,
with their scales, in the packed file; KL is from the float model's distributions, nats a target,
and BPB the difference from the float model's, over evenly spread windows of the validation text.
Percentiles are with the record's floats, all else with the default's, which has more integers.
`gap` is how far the code is above the entropy of the integers under the context model of `ans`,
all distributions taken for known. For matrices drawn (Gaussian, rows and columns of different
sizes) the rate–distortion bound is known: `above R(D)` are the bits per weight above it, of which
0.254 are those by which any scalar quantiser with ideal coding misses it; `known` are those that
the integers take who knows the sizes that were drawn. `beside lzma` is the whole file, or the
drawn matrices, against the same by LZMA. Seconds are of packing and unpacking these.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import ndtr

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stages"))

from fairway.start import run

from fairway.artifact.calibration import calibration_sequences, gather_hessians
from fairway.artifact.coders.entropy import section_bits
from fairway.artifact.coders.named import coder
from fairway.artifact.container import build_model, decode, encode, section_sizes
from fairway.artifact.gptq import GptqSettings
from fairway.artifact.kinds import INT6, INT6_LIMIT, INT8, INT8_LIMIT, storage_kinds
from fairway.artifact.quantization import matrices, quantize
from fairway.artifact.settings import StepSettings
from fairway.artifact.steps import even_steps, prepare_search
from fairway.artifact.storage import StoredModel
from fairway.corpus.manifest import Manifest
from fairway.corpus.windows import WindowPlan
from fairway.model.network import Model
from fairway.model.shapes import state_shapes
from fairway.training.checkpoints import Checkpoint

LIMITS = {INT6: INT6_LIMIT, INT8: INT8_LIMIT}
PERCENTILES, CLIPS = StepSettings(), ((4.0, 12.0), (8.0, 20.0), (12.85, 20.0), (12.85, 40.0))
PUBLISHED = 65_536, 10  # fp16_below, fp16_mantissa_bits
BUDGETS = (5.4, 4.5, 4.0, 3.5, 3.0)
CODERS = ("lzma", "zstd", "brotli", "ans")
SHAPES = [(512, 512), (256, 512), (256, 512), (512, 512), (1536, 512), (512, 1536)]
SPREAD = 0.3  # deviation of the logarithm of the drawn rows' and columns' sizes


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="of a finished run")
    parser.add_argument("--model", default="ebls")
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--calibration-tokens", type=int, default=65_536)
    parser.add_argument("--gradient-tokens", type=int, default=32_768)
    parser.add_argument("--fp16-below", type=int, default=16_384)
    parser.add_argument("--fp16-mantissa-bits", type=int, default=6)
    parser.add_argument("--windows", type=int, default=60, help="that KL and BPB are taken over")
    parser.add_argument("--figure", type=Path, help="PNG of the curve")
    parser.add_argument("--drawn", type=int, help="instead: so many blocks of drawn matrices")
    return parser.parse_args()


@dataclass(frozen=True)
class Line:
    """One method's line; rates and losses of the trained model."""

    method: str
    coder: str
    bits: float  # per integer weight, scales included
    size: int
    kl: float
    bpb: float
    gap: float
    beside: float  # its bytes over LZMA's, less 1
    seconds: tuple[float, float]


class Measured:
    """A trained model with what quantising needs, and the windows that it is compared on."""

    def __init__(self, options: argparse.Namespace) -> None:
        corpus = options.results / "corpus"
        manifest = Manifest.load(corpus / "manifest.json")
        folder = options.results / "models" / options.model / f"seed{options.seed}"
        self.checkpoint = Checkpoint.load(folder / "checkpoint.safetensors")
        self.model = self.checkpoint.model().eval()
        self.sequences = calibration_sequences(
            manifest.read_train(1), options.calibration_tokens, self.model.config.rope_context
        )
        self.hessians = gather_hessians(self.model, matrices(self.model), self.sequences, 16)
        self.below, self.mantissa = options.fp16_below, options.fp16_mantissa_bits
        kinds, damping = self._kinds(self.below), GptqSettings().damping
        self.search = prepare_search(
            self.model, self.hessians, kinds, self.sequences, options.gradient_tokens, damping
        )
        self.tokens = manifest.read_val(corpus / "val.bin")
        plan = WindowPlan(manifest.val.targets, self.model.config.rope_context, 64)
        every = max(1, (len(plan) - 2) // options.windows)
        self.windows = [plan.window(index) for index in range(1, len(plan) - 1, every)]
        sizes = np.load(corpus / "val_bytes.npy")
        self.bytes = sum(int(sizes[w.first_target - 1 : w.stop].sum()) for w in self.windows)
        self.logs = [self._logs(self.model, window) for window in self.windows]

    def _kinds(self, below: int) -> dict[str, str]:
        return storage_kinds(state_shapes(self.model.config), below)

    @torch.inference_mode()
    def _logs(self, model: Model, window) -> torch.Tensor:
        """log p of every token at the window's targets, (targets, vocabulary)."""
        inputs = torch.from_numpy(self.tokens[window.start : window.stop].astype(np.int64))
        logits = model(inputs[None], last=window.stop + 1 - window.first_target)[0]
        return torch.log_softmax(logits.double(), dim=-1)

    def compare(self, model: Model) -> tuple[float, float]:
        """KL from the float model, nats a target, and BPB above the float model's."""
        kl, nats, targets = 0.0, 0.0, 0
        for window, before in zip(self.windows, self.logs, strict=True):
            after = self._logs(model, window)
            text = self.tokens[window.first_target : window.stop + 1].astype(np.int64)
            chosen = torch.arange(len(text)), torch.from_numpy(text)
            kl += float((before.exp() * (before - after)).sum())
            nats += float((before[chosen] - after[chosen]).sum())
            targets += len(text)
        return kl / targets, nats / np.log(2) / self.bytes

    def quantised(self, settings: StepSettings, below: int, mantissa: int) -> StoredModel:
        """The model with its integers' steps chosen so."""
        gptq, choice = GptqSettings(), None
        if settings.clip_sigmas is not None:
            choice = even_steps(self.model, self._kinds(below), settings.clip_sigmas)
        elif settings.searched:
            choice = self.search.choice(settings.bits_per_weight)
        found, _ = quantize(
            self.model, dict(self.hessians), gptq, below, "0" * 64, {}, choice, mantissa
        )
        return found.stored


def entropy_bits(stored: StoredModel) -> tuple[float, int]:
    """Bits of all integers under the context model of `ans`, and how many integers there are."""
    bits, count = 0.0, 0
    for kind, limit in LIMITS.items():
        names = [name for name, found in stored.kinds.items() if found == kind]
        integers = [stored.tensors[name].integers.numpy() for name in names]
        bits += section_bits(integers, limit)
        count += sum(part.size for part in integers)
    return bits, count


def line(method: str, name: str, stored: StoredModel, losses, lzma: int | None) -> Line:
    """Pack, unpack and account for one method. lzma: bytes of the same by LZMA, if known."""
    start = time.perf_counter()
    content = encode(stored, name)
    packed = time.perf_counter()
    decode(content, "packed")
    seconds = packed - start, time.perf_counter() - packed
    sizes = {key: size["packed"] for key, size in section_sizes(content).items()}
    entropy, count = entropy_bits(stored)
    integers = 8 * (sizes[INT6] + sizes[INT8])
    bits, size = (integers + 8 * sizes["scale"]) / count, len(content)
    gap, beside = integers / entropy - 1, size / (lzma or size) - 1
    return Line(method, name, bits, size, *losses, gap, beside, seconds)


def trained(options: argparse.Namespace) -> list[Line]:
    """All methods on the model of a run."""
    measured, lines = Measured(options), []
    methods = [("percentiles", PERCENTILES, CODERS)]
    methods += [(f"{k:g} σ, {e:g} σ", StepSettings((k, e)), ("lzma", "ans")) for k, e in CLIPS]
    methods += [(f"search, {b:g}", StepSettings(None, b), ("lzma", "ans")) for b in BUDGETS]
    for method, settings, coders in methods:
        below, mantissa = measured.below, measured.mantissa
        if settings == PERCENTILES:
            below, mantissa = PUBLISHED
        stored = measured.quantised(settings, below, mantissa)
        losses = measured.compare(build_model(stored))
        lzma = None  # comes first
        for name in coders:
            lines.append(line(method, name, stored, losses, lzma))
            lzma = lzma or lines[-1].size
            print(row(lines[-1]), file=sys.stderr)
    return lines


def row(found: Line) -> str:
    packing, unpacking = found.seconds
    return (
        f"| {found.method} | {found.coder} | {found.bits:.3f} | {found.size:,} | {found.kl:.5f} | "
        f"{found.bpb:+.5f} | {found.gap:+.2%} | {found.beside:+.2%} | {packing:.2f} | "
        f"{unpacking:.2f} |"
    )


def drawn(blocks: int) -> None:
    """Print what the coders make of matrices of the record's shapes, at some clips."""
    print(
        "| clip | coder | bits per weight | known | above R(D) | gap | beside lzma | pack, s | "
        "unpack, s |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for clip in (4.0, 8.0, 12.85):
        generator = np.random.default_rng(0)
        parts = [_drawn(generator, shape, clip) for _ in range(blocks) for shape in SHAPES]
        integers, known, bounds = zip(*parts, strict=True)
        count, bound = sum(part.size for part in integers), sum(bounds)
        entropy, lzma = section_bits(list(integers), INT6_LIMIT), None
        for name in CODERS:
            start = time.perf_counter()
            size, code = coder(name).pack(INT6, list(integers))
            packed = time.perf_counter()
            coder(name).unpack(INT6, code, size, [part.shape for part in integers])
            seconds = packed - start, time.perf_counter() - packed
            bits = 8 * len(code)
            lzma = lzma or bits
            print(
                f"| {clip:g} σ | {name} | {bits / count:.3f} | {sum(known) / count:.3f} | "
                f"{(bits - bound) / count:+.3f} | {bits / entropy - 1:+.2%} | "
                f"{bits / lzma - 1:+.2%} | {seconds[0]:.1f} | {seconds[1]:.1f} |",
                flush=True,
            )


def _drawn(
    generator: np.random.Generator, shape: tuple[int, int], clip: float
) -> tuple[np.ndarray, float, float]:
    """Rounded Gaussian weights, int8; their bits for who knows their rows' and columns' sizes;
    the least bits for the error that rounding leaves."""
    sizes = np.outer(*(np.exp(SPREAD * generator.standard_normal(size)) for size in shape))
    weights = generator.standard_normal(shape) * sizes
    step = clip * weights.std() / INT6_LIMIT
    integers = np.rint(weights / step).clip(-INT6_LIMIT, INT6_LIMIT)
    error = np.mean((weights - integers * step) ** 2)
    bound = float(np.maximum(np.log2(sizes**2 / error) / 2, 0).sum())
    edges = np.abs(integers) + np.array([-0.5, 0.5])[:, None, None]
    edges[1][edges[1] > INT6_LIMIT] = np.inf
    below, above = ndtr(edges * step / sizes)
    return integers.astype(np.int8), float(-np.log2(above - below).sum()), bound


def draw_figure(lines: list[Line], path: Path) -> None:
    """KL and BPB against bits per weight, a curve for each way to choose steps."""
    from matplotlib import pyplot as plt

    figure, sides = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    ways = {"percentiles": [], "clip at k σ": [], "search": []}
    for found in lines:
        if found.coder == "ans":
            way = found.method.split(",")[0]
            ways["clip at k σ" if "σ" in way else way].append(found)
    labels = {"kl": "KL from the float model, nats a target", "bpb": "BPB lost"}
    for side, (of, label) in zip(sides, labels.items(), strict=True):
        for way, points in ways.items():
            points = sorted(points, key=lambda point: point.bits)
            values = [max(getattr(point, of), 1e-5) for point in points]
            side.plot([point.bits for point in points], values, marker="o", label=way)
        side.set(xlabel="bits per integer weight, packed", ylabel=label, yscale="log")
        side.grid(alpha=0.3)
    sides[0].legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    if options.drawn is not None:
        drawn(options.drawn)
        return
    lines = trained(options)
    print(
        "| steps | coder | bits per weight | bytes | KL | BPB | gap | beside lzma | pack, s | "
        "unpack, s |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    print("\n".join(row(found) for found in lines))
    if options.figure is not None:
        draw_figure(lines, options.figure)


if __name__ == "__main__":
    run(main)
