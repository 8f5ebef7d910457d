"""The process that runs a scorer from somebody's Python file; the audit asks, it answers.

    python -m fairway.audit.worker FD '["my_scorer.py", "make", VOCABULARY, {GIVEN}, {OFFERED}]'

Made from `make(vocabulary, …)`: a predictor, which is made anew for every text, or a function of
tokens. Answers go through the file descriptor FD, so that printing disturbs nothing.
"""

import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from fairway.audit.frames import receive, send
from fairway.codec.coder import CodeError, decode_tokens, encode_tokens

_MODULE = "scorer_under_check"  # what its file is called like must hide no other module
Answer = tuple[dict[str, Any], list[np.ndarray]]


class Scorer:
    """What `make` gave, asked in one way whatever it is."""

    def __init__(
        self, make: Callable, vocabulary: int, given: dict[str, Any], offered: dict[str, Any]
    ) -> None:
        self.takes = inspect.signature(make).parameters
        wanted = {name: value for name, value in offered.items() if name in self.takes}
        self.make, self.vocabulary, self.given = make, vocabulary, wanted | given
        self.made = make(vocabulary, **self.given)
        self.predicts = all(hasattr(self.made, name) for name in ("distribution", "push"))
        if not self.predicts and not callable(self.made):
            raise TypeError(
                f"make returned {type(self.made).__name__}; expected an object with distribution "
                "and push, or a function of tokens"
            )

    def about(self) -> dict[str, Any]:
        """What the audit has to know before it asks for more."""
        size = getattr(self.takes.get("table_size"), "default", None)
        size = getattr(self.made, "table_size", self.given.get("table_size", size))
        return {
            "kind": "predictor" if self.predicts else "scorer",
            "tells_distribution": not self.predicts and hasattr(self.made, "distribution"),
            "batches": not self.predicts and hasattr(self.made, "batch"),
            "tells_bytes": hasattr(self.made, "target_bytes"),
            "table_size": size if isinstance(size, int) else None,
        }

    def score(self, *texts: np.ndarray) -> Iterator[Answer]:
        """Nats of every text, an answer each."""
        for text in texts:
            nats = self._walk(text, twice=False)[0] if self.predicts else self.made(text)
            yield {}, [np.asarray(nats)]

    def batch(self, *texts: np.ndarray) -> Iterator[Answer]:
        """Nats of texts of equal length, computed together, an answer each."""
        rows = np.asarray(self.made.batch(np.stack(texts)))
        if rows.shape != (len(texts), len(texts[0]) - 1):
            raise ValueError(f"batch() has shape {rows.shape} for {len(texts)} texts")
        for nats in rows:
            yield {}, [nats]

    def walk(self, text: np.ndarray, twice: bool) -> Iterator[Answer]:
        """A predictor's nats and mass of every target; twice: it is asked twice for each.

        changed: the first target at which the second answer was another one, 0 for none.
        """
        nats, mass, changed = self._walk(text, twice)
        yield {"changed": changed}, [nats, mass]

    def _walk(self, text: np.ndarray, twice: bool) -> tuple[np.ndarray, np.ndarray, int]:
        predictor = Predictor(self)
        nats, mass, changed = np.empty(len(text) - 1), np.empty(len(text) - 1), 0
        for target, token in enumerate(text.tolist()):
            if target:
                p = predictor.distribution()
                if twice and not changed:
                    again = predictor.distribution()
                    changed = 0 if np.array_equal(p, again, equal_nan=True) else target
                mass[target - 1] = p.sum() if p.min() >= 0 else np.nan
                with np.errstate(divide="ignore", invalid="ignore"):
                    nats[target - 1] = -np.log(p[token])
            predictor.push(token)
        return nats, mass, changed

    def after(self, *prefixes: np.ndarray) -> Iterator[Answer]:
        """A function's own word on the token after each prefix: distributions."""
        for prefix in prefixes:
            yield {}, [self.distribution(self.made.distribution(prefix))]

    def distribution(self, found: Any) -> np.ndarray:
        """Probabilities, float64 (vocabulary,), in a copy: it may write into its own later."""
        values = np.array(found, dtype=np.float64)
        if values.shape != (self.vocabulary,):
            raise ValueError(f"distribution() has shape {values.shape}, not {(self.vocabulary,)}")
        return values

    def encode(self, text: np.ndarray) -> Iterator[Answer]:
        """The text's code, uint8."""
        code = encode_tokens(Predictor(self), text)
        yield {}, [np.frombuffer(code, np.uint8)]

    def decode(self, code: np.ndarray, first: int, targets: int) -> Iterator[Answer]:
        """The tokens of a code, or why it has none."""
        try:
            tokens = decode_tokens(Predictor(self), code.tobytes(), first, targets)
            yield {"why": None}, [tokens]
        except CodeError as error:
            yield {"why": str(error)}, [np.zeros(0, np.uint16)]

    def bytes(self, text: np.ndarray) -> Iterator[Answer]:
        """Bytes that the scorer counts for every target."""
        yield {}, [np.asarray(self.made.target_bytes(text))]


class Predictor:
    """A predictor made anew, whose distributions are copied and have the right shape."""

    def __init__(self, scorer: Scorer) -> None:
        self.check, self.made = scorer.distribution, scorer.make(scorer.vocabulary, **scorer.given)

    def distribution(self) -> np.ndarray:
        return self.check(self.made.distribution())

    def push(self, token: int) -> None:
        self.made.push(token)


def load_make(file: Path, function: str) -> Callable:
    """The function of a Python file, whose folder comes first on the path."""
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(_MODULE, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return getattr(module, function, None)


def explain(error: BaseException, file: str) -> str:
    """The error in one line, with the last line of the scorer's own file that was reached."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    place = f" ({Path(file).name}, line {lines[-1]})" if lines else ""
    return " ".join(f"{type(error).__name__}: {error}{place}".split())


def serve(connection: Connection, scorer: Scorer, file: str) -> None:
    """Answer until the audit is gone."""
    while True:
        try:
            request, arrays = receive(connection)
        except (EOFError, OSError):
            return
        try:
            for answer, found in getattr(scorer, request.pop("do"))(*arrays, **request):
                send(connection, answer, *found)
        except BaseException as error:
            send(connection, {"error": explain(error, file)})


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    file, function, *call = json.loads(sys.argv[2])
    try:
        make = load_make(Path(file), function)
        if not callable(make):
            send(connection, {"missing": f"{file}: no function `{function}`"})
            return
        scorer = Scorer(make, *call)
        about = scorer.about()
    except BaseException as error:
        send(connection, {"error": explain(error, file)})
        return
    send(connection, about)
    serve(connection, scorer, file)


if __name__ == "__main__":
    main()
