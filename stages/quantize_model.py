"""Quantise a trained model with GPTQ, calibrated on training text.

    ./run results/models/ebls/seed1337/quantized.safetensors

    python stages/quantize_model.py --spec results/specs/quantize_model/ebls.*.json \\
        --manifest results/corpus/manifest.json \\
        --checkpoint results/models/ebls/seed1337/checkpoint.safetensors \\
        --quantized /tmp/quantized.safetensors --report /tmp/quantize.json

Calibration sequences are as long as the model's context and spread over all training shards. The
report has, for every matrix, the output error of GPTQ and of rounding to nearest; with
`quantization.packed_bytes` also each number of bits per weight that was tried, and its bytes.
"""

from fairway.start import run

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairway.artifact.budget import fill
from fairway.artifact.calibration import calibration_sequences, gather_hessians
from fairway.artifact.container import encode
from fairway.artifact.gptq import Gptq, GptqSettings
from fairway.artifact.kinds import storage_kinds
from fairway.artifact.quantization import matrices, quantize
from fairway.artifact.quantized import QuantizedModel
from fairway.artifact.rates import Choice, Search
from fairway.artifact.settings import QuantizationSettings, StepSettings
from fairway.artifact.steps import even_steps, prepare_search, some_of
from fairway.corpus.manifest import Manifest
from fairway.files.spec import read_spec
from fairway.machine.devices import prepare_device
from fairway.model.architecture import ModelConfig
from fairway.model.network import Model
from fairway.model.shapes import state_shapes
from fairway.progress import Progress
from fairway.provenance import Recording
from fairway.stage import StageError, stage_parser, write_json
from fairway.training.checkpoints import Checkpoint

Quantised = tuple[QuantizedModel, dict[str, Any]]
"""A quantised model, and what there is to report of it."""


def arguments() -> argparse.Namespace:
    return stage_parser(
        __doc__, "spec", "manifest", "checkpoint", "quantized", "report"
    ).parse_args()


def training_sequences(
    manifest: Manifest, tokens: int, config: ModelConfig, threads: int
) -> np.ndarray:
    """Training text to calibrate on, int64 (sequences, rope_context); about `tokens` of it.

    Raises StageError for a token that the model does not know.
    """
    shards = manifest.read_train(threads)
    sequences = calibration_sequences(shards, tokens, config.rope_context)
    if (largest := int(sequences.max())) >= config.vocabulary:
        raise StageError(f"training text: token id {largest}; the model has {config.vocabulary}")
    return sequences


def calibrate(
    model: Model, sequences: np.ndarray, settings: QuantizationSettings
) -> dict[str, Gptq]:
    """The inputs of every matrix while the model reads the sequences, with progress."""
    progress = Progress(sequences.size, "tokens")
    batch, precision = settings["batch_sequences"], settings["precision"]
    found = gather_hessians(model, matrices(model), sequences, batch, progress.update, precision)
    progress.close()
    return found


@dataclass(frozen=True)
class Quantiser:
    """A model and the inputs of its matrices; provenance: for the quantised model."""

    model: Model
    hessians: dict[str, Gptq]
    settings: QuantizationSettings
    tokenizer_sha256: str
    provenance: dict[str, Any]

    @property
    def kinds(self) -> dict[str, str]:
        return storage_kinds(state_shapes(self.model.config), self.settings["fp16_below"])

    def search(self, sequences: np.ndarray) -> Search:
        """For the scales of all integers, with progress of the gradients that it goes by."""
        tokens = self.settings["gradient_tokens"]
        progress = Progress(some_of(sequences, tokens).size, "tokens back")
        found = prepare_search(
            self.model,
            self.hessians,
            self.kinds,
            sequences,
            tokens,
            self.settings["damping"],
            self.settings["precision"],
            progress.update,
        )
        progress.close()
        return found

    def quantised(self, steps: StepSettings, search: Search | None) -> Quantised:
        """With the scales that the settings ask for; search: where they ask for one."""
        if steps.clip_sigmas is not None:
            return self._with(even_steps(self.model, self.kinds, steps.clip_sigmas))
        if search is None:
            return self._with(None)
        if steps.bits_per_weight is not None:
            return self._with(search.choice(steps.bits_per_weight))
        filled = fill(
            lambda bits: self._with(search.choice(bits)),
            lambda made: len(encode(made[0].stored, self.settings["compressor"])),
            search.weights,
            search.bits,
            steps.packed_bytes,
        )
        model, report = filled.made
        return model, report | {"tries": filled.tries}

    def _with(self, choice: Choice | None) -> Quantised:
        """With these scales; without, by clip percentiles."""
        percentiles = tuple(self.settings["clip_percentiles"])
        model, layers = quantize(
            self.model,
            dict(self.hessians),
            GptqSettings(self.settings["damping"], self.settings["block"], percentiles),
            self.settings["fp16_below"],
            self.tokenizer_sha256,
            self.provenance,
            choice,
            self.settings["fp16_mantissa_bits"],
        )
        return model, {"layers": layers, "steps": {} if choice is None else choice.report}


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec, QuantizationSettings)
    recording = Recording(options.provenance, spec, [options.manifest, options.checkpoint])
    settings, steps = spec.settings, StepSettings.from_settings(spec.settings)
    device = prepare_device(settings["device"], settings["threads"])  # may wait for a GPU
    start = time.monotonic()
    manifest = Manifest.load(options.manifest)
    checkpoint = Checkpoint.load(options.checkpoint)
    tokenizer = manifest.tokenizer.sha256
    if checkpoint.tokenizer_sha256 != tokenizer:
        raise StageError(
            f"{options.checkpoint}: tokenizer SHA-256 {checkpoint.tokenizer_sha256}; "
            f"the corpus has {tokenizer}"
        )
    model = checkpoint.model().to(device)
    tokens, threads = settings["calibration_tokens"], settings["threads"]
    sequences = training_sequences(manifest, tokens, model.config, threads)
    provenance = {
        "train_model": checkpoint.spec,
        "quantize_model": spec.sha256,
        "seed": checkpoint.seed,
    }
    hessians = calibrate(model, sequences, settings)
    quantiser = Quantiser(model, hessians, settings, tokenizer, provenance)
    search = quantiser.search(sequences) if steps.searched else None
    calibrated = time.monotonic()
    quantized, report = quantiser.quantised(steps, search)
    quantized.save(options.quantized)
    write_json(
        options.report,
        {
            **provenance,
            "calibration_sequences": len(sequences),
            "calibration_tokens": int(sequences.size),
            "calibration_seconds": calibrated - start,
            "quantize_seconds": time.monotonic() - calibrated,
            **report,
        },
    )
    recording.finish(options.quantized, options.report)


if __name__ == "__main__":
    run(main)
