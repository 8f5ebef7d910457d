"""What torch computes in a function, call by call: those calls that depend on given tensors.

The function runs once and every call of torch's own operators is seen (`__torch_dispatch__`). What
depends on constants alone is computed then and there and need not be repeated.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Call(NamedTuple):
    """One call: its function, torch's operator or any other, and what went in and came out."""

    function: Any
    arguments: tuple
    results: tuple[Tensor, ...]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested lists and tuples, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors_in(part)


def storage_of(tensor: Tensor) -> int:
    """Where the tensor's numbers are, which it shares with its views."""
    return tensor.untyped_storage().data_ptr()


class Recording(TorchDispatchMode):
    """Calls that depend on `inputs`, in order. All tensors are kept, so that no place is reused.

    changing: the storages of inputs and of all results.
    """

    def __init__(self, inputs: list[Tensor]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.changing = {storage_of(tensor) for tensor in inputs}
        self._kept: list[Any] = [inputs]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether torch's compiler, seconds to import, is asked to look away; it does not run."""
        return False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None) -> Any:
        results = function(*args, **(kwargs or {}))
        self._kept.append(results)
        if any(storage_of(tensor) in self.changing for tensor in tensors_in(args)):
            shared = {storage_of(tensor) for tensor in tensors_in(args)}
            seen = tuple(tensors_in(results))
            is_view = all(storage_of(tensor) in shared for tensor in seen)
            if function._schema.is_mutable or not is_view:
                self.add(function, (*args, *(kwargs or {}).values()), seen)
        return results

    def add(self, function: Any, arguments: tuple, results: tuple[Tensor, ...]) -> None:
        """Record a call."""
        self.calls.append(Call(function, arguments, results))
        self.changing.update(map(storage_of, results))


@torch.no_grad()
def record(function: Callable[[Recording], Any], inputs: list[Tensor]) -> tuple[Recording, Any]:
    """The calls of `function(recording)`, and what it returned."""
    with Recording(inputs) as recording:
        return recording, function(recording)
