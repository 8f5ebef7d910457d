"""Train one model from one seed: weights as a checkpoint, figures as JSON lines.

    python stages/train_model.py --spec results/specs/train_model/ebls.*.json --seed 1337 \\
        --manifest results/corpus/manifest.json --checkpoint checkpoint.safetensors \\
        --metrics metrics.jsonl --resume resume.safetensors

With training.world_size above 1 it starts its own processes; under torchrun, which must then
be given as many, it joins those. Killed and started again, it goes on from the resume file,
which is deleted in the end. Reads the training shards that the manifest lists.
"""

from fairway.start import run

import argparse
import hashlib
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from fairway.corpus.manifest import Manifest
from fairway.files.spec import Spec, read_spec
from fairway.model.architecture import ModelConfig
from fairway.model.initialization import initialize
from fairway.model.network import Model
from fairway.provenance import Recording
from fairway.stage import EXIT_BAD_INPUT, StageError, stage_parser
from fairway.training.batches import Batches
from fairway.training.checkpoints import Checkpoint, ResumeFile
from fairway.training.loop import FailedEverywhere, Loop, Metrics
from fairway.training.processes import (
    Place,
    Processes,
    check_devices,
    is_launched,
    joined,
    launch,
    own_place,
)
from fairway.training.settings import ModelSettings, TrainingSettings
from fairway.training.step import Training


@dataclass(frozen=True)
class Job:
    """A training's inputs, read and checked."""

    spec: Spec
    seed: int
    config: ModelConfig
    settings: TrainingSettings
    manifest: Manifest
    batches: Batches


def main() -> None:
    arguments = parse_arguments()
    job = read_job(arguments.spec, arguments.manifest, arguments.seed)
    world_size = job.settings.world_size
    if world_size > 1 and not is_launched():
        check_devices(job.settings, world_size)
        launch(partial(run_rank, arguments), job.settings)
    else:
        train_in_place(job, arguments, own_place())


def run_rank(arguments: argparse.Namespace, place: Place) -> None:
    """What each process does that this one starts; the shards it has checked for all."""
    job = read_job(arguments.spec, arguments.manifest, arguments.seed, checked=True)
    train_in_place(job, arguments, place)


def train_in_place(job: Job, arguments: argparse.Namespace, place: Place) -> None:
    """Train as one of the training's processes."""
    with joined(job.settings, place) as processes:
        try:
            train(job, arguments, processes)
        except FailedEverywhere:  # one says so
            if processes.is_first:
                raise
            sys.exit(EXIT_BAD_INPUT)


def parse_arguments() -> argparse.Namespace:
    parser = stage_parser(__doc__, "spec", "manifest", "checkpoint", "metrics", "resume")
    parser.add_argument("--seed", type=int, required=True)
    return parser.parse_args()


def read_job(spec_path: Path, manifest_path: Path, seed: int, checked: bool = False) -> Job:
    """Read and check everything that a training needs. checked: the shards' SHA-256 are."""
    spec, manifest = read_spec(spec_path, ModelSettings), Manifest.load(manifest_path)
    config = ModelConfig.from_settings(spec.settings["architecture"], spec.settings["vocabulary"])
    settings = TrainingSettings.from_settings(spec.settings["training"])
    settings.require_context(config.rope_context)
    if manifest.vocabulary != config.vocabulary:
        raise StageError(
            f"{manifest_path}: vocabulary {manifest.vocabulary}; the spec has {config.vocabulary}"
        )
    shards = manifest.read_train(settings.threads, checked)
    batches = Batches(shards, config.vocabulary, settings.sequence, settings.batch_tokens, seed)
    return Job(spec, seed, config, settings, manifest, batches)


def train(job: Job, outputs: argparse.Namespace, processes: Processes) -> None:
    """Train in all processes; the first writes the outputs."""
    path = outputs.provenance if processes.is_first else None
    recording = Recording(path, job.spec, [outputs.manifest])
    model = initialize(Model(job.config), torch.Generator().manual_seed(job.seed))
    training = Training(model, job.settings, job.batches, processes)
    data = "".join(shard.sha256 for shard in job.manifest.train.shards)
    identity = {
        "spec": job.spec.sha256,
        "seed": job.seed,
        "training text": hashlib.sha256(data.encode()).hexdigest(),
    }
    resume = ResumeFile(outputs.resume, identity)
    Loop(training, resume, Metrics(outputs.metrics, processes.is_first)).run()
    if processes.is_first:
        tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
        tokenizer = job.manifest.tokenizer.sha256
        Checkpoint(job.config, tensors, job.spec.sha256, job.seed, tokenizer).save(
            outputs.checkpoint
        )
        recording.finish(outputs.checkpoint, outputs.metrics)
        resume.remove()


if __name__ == "__main__":
    run(main)
