"""Plain values, as JSON gives them, against the dataclass they are to become; standard library.

A field's annotation says all that is checked: `int`, `float` (finite, and whole numbers are
taken), `str`, `bool`, `X | Y | None`, `Literal[…]`, `list[X]`, `tuple[X, ...]`, `dict[str, X]`,
another dataclass, a TypedDict, whose values stay a dict, and `Annotated[X, Within(low, high)]` for
ranges: of a number, or of the length of a text, list or tuple. What is of the wrong type is never
converted: no "3" becomes 3.
"""

import contextlib
import math
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from fairway.stage import StageError

_PLAIN = {int: "a whole number", str: "text", bool: "true or false", dict: "an object"}


@dataclass(frozen=True)
class Within:
    """Least and greatest value (or length) that a field may have, both included.

    between: the ends of a range of numbers are left out themselves.
    """

    low: float = -math.inf
    high: float = math.inf
    between: bool = False

    def holds(self, size: float) -> bool:
        """Whether a number, or a length, is within."""
        if self.between:
            return self.low < size < self.high
        return self.low <= size <= self.high

    def in_words(self) -> str:
        """As an error says what it expected."""
        if self.between:
            return f"more than {self.low:g} and less than {self.high:g}"
        return f"at least {self.low}" if self.high == math.inf else f"{self.low} to {self.high}"


Natural = Annotated[int, Within(0)]
Positive = Annotated[int, Within(1)]
Amount = Annotated[float, Within(0)]
"""A number that cannot be negative: nats, seconds."""


class View:
    """Base of a dataclass that is part of a larger object: other keys are passed over."""


def build(kind: type, value: Any, name: object) -> Any:
    """A dataclass of type `kind` from the object `value`; `name`, a path or more, is for errors.

    Raises StageError naming the key, the value found and what was expected.
    """
    given = {field.name: field.default for field in fields(kind) if field.init}
    needed = [key for key in given if given[key] is MISSING]
    found = _items(kind, value, name, list(given), needed, issubclass(kind, View))
    try:
        return kind(**found)
    except StageError as error:  # of its own checks, which do not know the file
        known = str(error).startswith(str(name))
        raise error if known else StageError(f"{name}: {error}") from None


def _items(
    kind: type, value: Any, name: object, known: list[str], needed: list[str], open_: bool = False
) -> dict[str, Any]:
    """The known keys of an object, in their order, each checked. open_: others are passed over."""
    if not isinstance(value, dict):
        raise _wrong(value, name, "an object")
    for key in needed:
        if key not in value:
            raise StageError(f"{name}: no `{key}`; expected {', '.join(known)}")
    unknown = value.keys() - set(known)
    if unknown and not open_:
        raise StageError(f"{name}: unknown key {_cut(min(unknown))}; expected {', '.join(known)}")
    hints, place = _hints(kind), f"{name}: " if isinstance(name, Path) else f"{name}."
    return {key: check(hints[key], value[key], place + key) for key in known if key in value}


def check_fields(record: Any, name: str) -> None:
    """Raise StageError unless every field of a dataclass is of its annotation."""
    for key, kind in _hints(type(record)).items():
        check(kind, getattr(record, key), f"{name}.{key}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def check(kind: Any, value: Any, name: object) -> Any:
    """`value` if it is of the annotation `kind`, dataclasses built and tuples made of lists.

    name: a path or more, for errors.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        return check(arguments[0], value, name)
    if origin is Annotated:
        found = check(arguments[0], value, name)
        return _within(found, arguments[1], name)
    if origin in (Union, UnionType):
        return _one_of(arguments, value, name)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            raise _wrong(value, name, " or ".join(map(str, arguments)))
        return value
    if origin in (list, tuple):
        return _several(origin, arguments, value, name)
    if origin is dict:
        items = check(dict, value, name).items()
        return {key: check(arguments[1], item, f"{name}.{key}") for key, item in items}
    if is_dataclass(kind):
        return build(kind, value, name)
    if is_typeddict(kind):
        return _items(kind, value, name, list(_hints(kind)), sorted(kind.__required_keys__))
    if kind is float:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise _wrong(value, name, "a finite number")
        return value
    if kind is not Any and not (
        isinstance(value, kind) and isinstance(value, bool) <= (kind is bool)
    ):
        raise _wrong(value, name, _PLAIN.get(kind, kind.__name__))
    return value


def _one_of(kinds: tuple, value: Any, name: object) -> Any:
    if value is None and NoneType in kinds:
        return None
    *others, last = (kind for kind in kinds if kind is not NoneType)
    for kind in others:
        with contextlib.suppress(StageError):
            return check(kind, value, name)
    return check(last, value, name)


def _several(origin: type, kinds: tuple, value: Any, name: object) -> Any:
    if not isinstance(value, list | tuple):
        raise _wrong(value, name, "a list")
    if origin is tuple and kinds[1:] != (...,):
        if len(value) != len(kinds):
            raise _wrong(value, name, f"a list of {len(kinds)}")
    else:
        kinds = kinds[:1] * len(value)
    pairs = zip(kinds, value, strict=True)
    return origin(check(kind, item, f"{name}[{i}]") for i, (kind, item) in enumerate(pairs))


def _within(value: Any, limits: Within, name: object) -> Any:
    size = value if isinstance(value, int | float) else len(value)
    if not limits.holds(size):
        what = "" if size is value else "a length of "
        raise _wrong(value, name, what + limits.in_words())
    return value


def _wrong(value: Any, name: object, expected: str) -> StageError:
    return StageError(f"{name}: {_cut(value)}; expected {expected}")


def _cut(value: Any) -> str:
    """The value as an error shows it."""
    found = repr(value)
    return found if len(found) <= 60 else f"{found[:57]}…"
