"""Quantise a trained model with GPTQ, calibrated on training text.

    ./run results/models/ebls/seed1337/quantized.safetensors

    python stages/quantize_model.py --spec results/specs/quantize_model/ebls.*.json \\
        --manifest results/corpus/manifest.json \\
        --checkpoint results/models/ebls/seed1337/checkpoint.safetensors \\
        --quantized /tmp/quantized.safetensors --report /tmp/quantize.json

Calibration sequences are as long as the model's context and spread over all training shards. The
report has, for every matrix, the output error of GPTQ and of rounding to nearest.
"""

from fairway.start import run

import argparse
import time

import numpy as np

from fairway.artifact.calibration import calibration_sequences, gather_hessians
from fairway.artifact.gptq import Gptq, GptqSettings
from fairway.artifact.kinds import storage_kinds
from fairway.artifact.quantization import matrices, quantize
from fairway.artifact.rates import Choice
from fairway.artifact.settings import QuantizationSettings
from fairway.artifact.steps import StepSettings, choose_steps, some_of
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


def steps(
    model: Model,
    hessians: dict[str, Gptq],
    kinds: dict[str, str],
    sequences: np.ndarray,
    settings: QuantizationSettings,
) -> Choice | None:
    """The scales of all integers if the settings say how to choose them, with progress."""
    sigmas, bits = settings["clip_sigmas"], settings["bits_per_weight"]
    wanted = StepSettings(None if sigmas is None else tuple(sigmas), bits)
    progress = Progress(0 if bits is None else some_of(sequences).size, "tokens back")
    found = choose_steps(
        model,
        hessians,
        kinds,
        wanted,
        sequences,
        settings["damping"],
        settings["precision"],
        progress.update,
    )
    progress.close()
    return found


def main() -> None:
    options = arguments()
    spec = read_spec(options.spec, QuantizationSettings)
    recording = Recording(options.provenance, spec, [options.manifest, options.checkpoint])
    settings = spec.settings
    device = prepare_device(settings["device"], settings["threads"])  # may wait for a GPU
    start = time.monotonic()
    manifest = Manifest.load(options.manifest)
    checkpoint = Checkpoint.load(options.checkpoint)
    if checkpoint.tokenizer_sha256 != manifest.tokenizer.sha256:
        raise StageError(
            f"{options.checkpoint}: tokenizer SHA-256 {checkpoint.tokenizer_sha256}; "
            f"the corpus has {manifest.tokenizer.sha256}"
        )
    model = checkpoint.model().to(device)
    sequences = training_sequences(
        manifest, settings["calibration_tokens"], model.config, settings["threads"]
    )
    hessians = calibrate(model, sequences, settings)
    kinds = storage_kinds(state_shapes(model.config), settings["fp16_below"])
    choice = steps(model, hessians, kinds, sequences, settings)
    calibrated = time.monotonic()
    gptq = GptqSettings(
        settings["damping"], settings["block"], tuple(settings["clip_percentiles"])
    )
    provenance = {
        "train_model": checkpoint.spec,
        "quantize_model": spec.sha256,
        "seed": checkpoint.seed,
    }
    quantized, layers = quantize(
        model,
        hessians,
        gptq,
        settings["fp16_below"],
        checkpoint.tokenizer_sha256,
        provenance,
        choice,
        settings["fp16_mantissa_bits"],
    )
    quantized.save(options.quantized)
    write_json(
        options.report,
        {
            **provenance,
            "calibration_sequences": len(sequences),
            "calibration_tokens": int(sequences.size),
            "calibration_seconds": calibrated - start,
            "quantize_seconds": time.monotonic() - calibrated,
            "layers": layers,
            "steps": {} if choice is None else choice.report,
        },
    )
    recording.finish(options.quantized, options.report)


if __name__ == "__main__":
    run(main)
