"""Three kinds of scorer behind one interface, whoever wrote them and in whatever language.

predictor   `make(vocabulary)` gives an object with `distribution()` and `push(token)`
scorer      `make(vocabulary)` gives a function: tokens → nats of targets 1…N, a black box
program     a command that reads a token shard `{input}` and writes nats as .npy, `{output}`;
            or many of them in one run, from a folder `{inputs}` to a folder `{outputs}`

All run in a sandbox (`fairway.audit.sandbox`); what they do wrong there is a `ScorerFailure`.
"""

import io
import itertools
import queue
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from fairway.audit.sandbox import Limits, ScorerFailure, Worker, describe_end, end
from fairway.corpus.shards import write_shard
from fairway.stage import StageError, require_file

_AT_A_TIME = 64  # texts handed to a process in one go


class Traits(NamedTuple):
    """What a scorer can be asked beside nats.

    tells_distribution, batches: a black box has `distribution(prefix)`, `batch`; tells_bytes: it
    counts bytes; table_size: what it names as the size of its tables, None if nothing.
    """

    kind: str
    tells_distribution: bool = False
    batches: bool = False
    tells_bytes: bool = False
    table_size: int | None = None


class Subject(Protocol):
    """A scorer that is looked into. jobs: texts that it scores at a time."""

    traits: Traits
    jobs: int

    def nats(self, texts: Iterable[np.ndarray], together: bool = False) -> Iterator[np.ndarray]:
        """Nats of every text's targets, float64, in order; a text is integers (targets + 1,).

        together: texts are of equal length, and a scorer that has `batch` may use it. What it
        computes so is the same for the same number of texts only, so that number never changes.
        """

    def restart(self) -> None:
        """After a failure: begin anew."""

    def printed(self) -> str | None:
        """What it printed so far, in words."""

    def close(self) -> None:
        """End its processes."""


def as_nats(values: np.ndarray) -> np.ndarray:
    """Numbers as float64; ScorerFailure for what cannot be nats."""
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise ScorerFailure(
            f"returned {values.dtype} {values.shape}; expected one number per target"
        )
    return values.astype(np.float64)


class PythonScorer:
    """A predictor or a scorer from a Python file. jobs: processes that score many texts.

    given, offered: keyword arguments of `make`. Raises ScorerFailure and StageError as `Worker`.
    """

    def __init__(
        self,
        file: Path,
        function: str,
        vocabulary: int,
        given: dict[str, Any],
        offered: dict[str, Any],
        limits: Limits,
        jobs: int = 1,
    ) -> None:
        require_file(file)
        self.start = lambda more: Worker(file, function, vocabulary, more, offered, limits)
        self.given, self.jobs = given, jobs
        self.workers = [self.start(given)]
        self.traits = Traits(**self.workers[0].about)

    def fresh(self) -> Worker:
        """Another process with the same scorer, for the caller to close."""
        return self.start(self.given)

    def with_table_size(self, size: int) -> Worker:
        """A process whose scorer has tables of another size, for the caller to close."""
        return self.start(self.given | {"table_size": size})

    def nats(self, texts: Iterable[np.ndarray], together: bool = False) -> Iterator[np.ndarray]:
        batches = _batches(texts, _AT_A_TIME)
        score = computed_together if together and self.traits.batches else scored
        if self.jobs == 1:
            for batch in batches:
                yield from score(self.workers[0], *batch)
            return
        while len(self.workers) < self.jobs:
            self.workers.append(self.fresh())
        free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self.workers:
            free.put(worker)

        def work(batch: list[np.ndarray]) -> list[np.ndarray]:
            worker = free.get()
            try:
                return list(score(worker, *batch))
            finally:
                free.put(worker)

        yield from itertools.chain.from_iterable(in_threads(work, batches, self.jobs))

    def one(self, do: str, *arrays: np.ndarray, **message: Any) -> tuple[dict, list[np.ndarray]]:
        """The only answer to another request, of the first process."""
        return next(self.workers[0].ask(do, *arrays, **message))

    def restart(self) -> None:
        """With a new first process, after the old one crashed or was left in mid-answer."""
        self.close()
        self.workers = [self.fresh()]

    def printed(self) -> str | None:
        return self.workers[0].printed()

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


def _batches(texts: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    rest = iter(texts)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def scored(worker: Worker, *texts: np.ndarray) -> Iterator[np.ndarray]:
    """Nats of the texts by one process."""
    for _, (values,) in worker.ask("score", *texts):
        yield as_nats(values)


def computed_together(worker: Worker, *texts: np.ndarray) -> Iterator[np.ndarray]:
    """The same by `batch`, on as many texts as ever; those that are missing are the last again."""
    more = [texts[-1]] * (_AT_A_TIME - len(texts))
    for _, (values,) in list(worker.ask("batch", *texts, *more))[: len(texts)]:
        yield as_nats(values)


def in_threads(work: Callable, items: Iterable, threads: int) -> Iterator:
    """work(item) of every item in order, `threads` at a time and never many more ahead."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: queue.SimpleQueue = queue.SimpleQueue()
        for count, item in enumerate(items):
            waiting.put(pool.submit(work, item))
            if count >= 2 * threads:
                yield waiting.get().result()
        while not waiting.empty():
            yield waiting.get().result()


class Program:
    """A command that is a scorer. jobs: runs at a time.

    With `{input}` and `{output}`, files, every text is a run. With `{inputs}` and `{outputs}`,
    folders, a run has many: what it makes of 0007.bin goes to 0007.npy.
    """

    traits = Traits("program")

    def __init__(self, command: str, limits: Limits, jobs: int = 1) -> None:
        self.folders = "{inputs}" in command
        for place in ("{inputs}", "{outputs}") if self.folders else ("{input}", "{output}"):
            if place not in command:
                raise StageError(f"program {command!r}: no {place}; expected a command with it")
        self.command, self.limits, self.jobs = command, limits, jobs

    def nats(self, texts: Iterable[np.ndarray], together: bool = False) -> Iterator[np.ndarray]:
        batches = _batches(texts, _AT_A_TIME if self.folders else 1)
        return itertools.chain.from_iterable(in_threads(self._run, batches, self.jobs))

    def _run(self, texts: list[np.ndarray]) -> list[np.ndarray]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            inputs = [folder / "inputs" / f"{index:04}.bin" for index in range(len(texts))]
            outputs = [folder / "outputs" / f"{file.stem}.npy" for file in inputs]
            outputs[0].parent.mkdir()
            for file, text in zip(inputs, texts, strict=True):
                write_shard(file, text.astype(np.uint16))
            places = {
                "{input}": inputs[0],
                "{output}": outputs[0],
                "{inputs}": inputs[0].parent,
                "{outputs}": outputs[0].parent,
            }
            command = shlex.split(self.command)
            for place, path in places.items():
                command = [part.replace(place, str(path)) for part in command]
            self._call(command, sum(self.limits.seconds_for(len(text)) for text in texts))
            return [_read_nats(file) for file in outputs]

    def _call(self, command: list[str], seconds: float) -> None:
        """Run a command to its end; ScorerFailure if it fails or takes longer."""
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                self.limits.command(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise ScorerFailure(f"hangs: no end in {seconds:g} s") from None
            finally:
                end(process)
            errors.seek(0)
            if process.returncode:
                text = errors.read().decode(errors="replace")
                raise ScorerFailure(describe_end(process.returncode, text))

    def restart(self) -> None:
        """Every run is a new process."""

    def printed(self) -> str | None:
        return None  # a command may print

    def close(self) -> None:
        """Nothing runs between two texts."""


def _read_nats(path: Path) -> np.ndarray:
    if not path.is_file():
        raise ScorerFailure(f"wrote no {path.name}; expected nats as .npy")
    try:
        return as_nats(np.load(io.BytesIO(path.read_bytes()), allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ScorerFailure(f"wrote a {path.name} that is no .npy ({error})") from None


def open_scorer(
    name: str,
    vocabulary: int,
    given: dict[str, Any],
    offered: dict[str, Any],
    limits: Limits,
    jobs: int = 1,
) -> Subject:
    """The scorer that `name` stands for: `file.py:function`, or a command with `{input}`."""
    if "{input" in name or "{output" in name:
        if given:
            raise StageError(f"program {name!r}: takes no arguments of make ({', '.join(given)})")
        return Program(name, limits, jobs)
    file, colon, function = name.rpartition(":")
    if not colon or not file.endswith(".py"):
        raise StageError(
            f"{name}: expected file.py:function or a command with {{input}} and {{output}}"
        )
    return PythonScorer(Path(file), function, vocabulary, given, offered, limits, jobs)
