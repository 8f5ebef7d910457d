"""The network as what a row's rule starts from, while tokens arrive one by one."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fairway.artifact.container import build_model, read_artifact
from fairway.codec.compiling import Attention, Compiler
from fairway.codec.recording import Recording, record
from fairway.kernels.instructions import run_program
from fairway.model.layers import NO_TOKEN
from fairway.model.network import Model, State, unshared
from fairway.stage import StageError, sha256_of


class Stepper:
    """The network over one window: many first tokens by torch, single ones by a program.

    The program is `Model.continued` recorded for one token; what does not depend on tokens is
    computed but once. Both work in one memory, that of the program, where the window's keys and
    values are.
    """

    @torch.no_grad()
    def __init__(self, model: Model, length: int) -> None:
        self.model = model = unshared(model)
        self.deviations = [{} for _ in model.layers]
        cosines, sines = model.rotary(0, length)
        token, before = (torch.zeros(1, 1, dtype=torch.int64) for _ in range(2))
        position, embedded = (
            torch.zeros(1, dtype=torch.int64),
            torch.zeros(1, 1, model.config.width),
        )

        def one_token(recording: Recording) -> tuple[Tensor, Tensor]:
            def attend(index: int, *parts: Tensor) -> Tensor:
                plain = tuple(part.clone(memory_format=torch.contiguous_format) for part in parts)
                out = torch.empty(plain[0].shape)
                recording.add(Attention, plain, (out,))
                return out

            rotary = F.embedding(position, cosines), F.embedding(position, sines)
            return model.continued(token, before, embedded, rotary, self.deviations, attend)

        recording, (logits, now) = record(one_token, [token, before, position, embedded])
        compiler = Compiler(recording, length)
        compiler.copy(now, embedded)
        compiler.copy(token, before)
        self._token, self._before, self._position, first, result = map(
            compiler.place, (token, before, position, embedded, logits)
        )
        self._program = compiler.program()
        reals = self._program.reals
        self._embedded = reals[first : first + model.config.width]
        self._logits = reals[result : result + model.config.vocabulary]
        self._kept = [kept.views(reals) for kept in compiler.kept]
        self._seen = 0

    def start(self, tokens: list[int]) -> np.ndarray:
        """Logits behind the first tokens of a window, float32 (vocabulary,); one or more."""
        wholes, self._seen = self._program.wholes, 0
        self._embedded[:] = 0
        wholes[self._before] = NO_TOKEN
        if len(tokens) == 1:
            return self.step(tokens[0])
        nothing = torch.full((1, 1), NO_TOKEN), torch.zeros(1, 1, self.model.config.width)
        keys, values = (list(of) for of in zip(*self._kept, strict=True))
        state = State(0, *nothing, keys, values, self.deviations)
        with torch.inference_mode():
            logits = self.model.step(torch.tensor([tokens]), state, last=1)[0, -1]
        self._embedded[:] = state.embedded[0, 0].numpy()
        wholes[self._before], self._seen = tokens[-1], len(tokens)
        return logits.numpy()

    def step(self, token: int) -> np.ndarray:
        """Logits behind one more token; overwritten by the next call."""
        wholes = self._program.wholes
        wholes[self._token], wholes[self._position] = token, self._seen
        run_program(self._program.instructions, self._program.reals, wholes, self._seen)
        self._seen += 1
        return self._logits


class NeuralSteps:
    """The model's distribution of the next token, by the windows of scoring.

    A window grows token by token to `length`; then the next one, `stride` further, is computed
    anew from its first tokens, as scoring does.
    """

    def __init__(self, model: Model, length: int, stride: int) -> None:
        self.length, self.stride = length, stride
        self.stepper = Stepper(model, length)
        self.window: list[int] = []
        self.known = 0  # tokens of the window that were computed

    def push(self, token: int) -> None:
        """Take the next token; nothing is computed until it is asked for."""
        self.window.append(token)
        if len(self.window) > self.length:
            self.window = self.window[self.stride :]
            self.known = 0

    def distribution(self) -> np.ndarray:
        """p of the next token after at least one was pushed, float64 (vocabulary,)."""
        if not self.known:
            logits, self.known = self.stepper.start(self.window), len(self.window)
        for token in self.window[self.known :]:
            logits, self.known = self.stepper.step(token), self.known + 1
        powers = np.exp(logits.astype(np.float64) - float(logits.max()))
        return powers / powers.sum()


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
