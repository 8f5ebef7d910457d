"""The network as what a row's rule starts from, while tokens arrive one by one."""

from pathlib import Path

import numpy as np
import torch

from fairway.artifact.container import build_model, read_artifact
from fairway.model.network import Model
from fairway.stage import StageError, sha256_of


class NeuralSteps:
    """The model's distribution of the next token, by the windows of scoring.

    A window grows token by token to `length`; then the next one, `stride` further, is computed
    anew from its first tokens, as scoring does.
    """

    def __init__(self, model: Model, length: int, stride: int) -> None:
        self.model, self.length, self.stride = model, length, stride
        self.window: list[int] = []
        self.waiting: list[int] = []
        self.state = model.start_state(1, length)

    def push(self, token: int) -> None:
        """Take the next token; nothing is computed until it is asked for."""
        self.window.append(token)
        self.waiting.append(token)
        if len(self.window) > self.length:
            self.window = self.window[self.stride :]
            self.waiting = list(self.window)
            self.state = self.model.start_state(1, self.length)

    @torch.inference_mode()
    def distribution(self) -> np.ndarray:
        """p of the next token after at least one was pushed, float64 (vocabulary,)."""
        tokens = torch.tensor([self.waiting])
        self.waiting = []
        logits = self.model.step(tokens, self.state)[0, -1]
        return torch.softmax(logits.double(), dim=-1).numpy()


class Network:
    """A packed model. On one thread, so that encoder and decoder add up in one order."""

    packages = ("torch",)

    def __init__(self, model: Model, artifact_sha256: str) -> None:
        torch.set_num_threads(1)
        self.model, self.sha256 = model, artifact_sha256
        self.vocabulary = model.config.vocabulary

    @classmethod
    def load(cls, artifact: Path, tokenizer_sha256: str, vocabulary: int) -> "Network":
        """From an artifact's file. Raises StageError if it is of another tokenizer."""
        stored = read_artifact(artifact)
        stored.require_corpus(tokenizer_sha256, vocabulary, artifact)
        return cls(build_model(stored), sha256_of(artifact))

    def steps(self, length: int, stride: int) -> NeuralSteps:
        """The distributions of one text. Raises StageError for windows beyond the context."""
        context = self.model.config.rope_context
        if length > context:
            raise StageError(f"row settings: windows.length: {length}; the model takes {context}")
        return NeuralSteps(self.model, length, stride)
