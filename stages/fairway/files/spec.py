"""A job's spec: the settings it depends on, each of the type and in the range that its stage says.

A stage declares its settings as a TypedDict, and takes them by `read_spec` alone. Ranges are those
of `config/schema.yaml`, which the configuration behind the spec has passed.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from fairway.files.records import Within, check
from fairway.stage import StageError, parse_json, read_small

Count = Annotated[int, Within(1, (1 << 31) - 1)]
Whole = Annotated[int, Within(0, (1 << 31) - 1)]
Seed = Annotated[int, Within(0, (1 << 63) - 1)]
Ranks = Annotated[int, Within(1, 64)]
Threads = Annotated[int, Within(1, 1024)]
Vocabulary = Annotated[int, Within(2, 1 << 16)]
Share = Annotated[float, Within(0, 1)]
Fraction = Annotated[float, Within(0, 1, between=True)]
Size = Annotated[float, Within(0, 1e12, between=True)]
Real = Annotated[float, Within(-1e9, 1e9)]
Name = Annotated[str, Within(1, 200)]
Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Spec(Generic[Settings]):
    """What a job depends on beside its input files: settings, and the hash of its code.

    `sha256` is the hash of the spec file; a stage writes it into its outputs, and aggregation
    refuses outputs that carry another one than the current.
    """

    settings: Settings
    sha256: str


def read_spec(path: Path, kind: type[Settings]) -> Spec[Settings]:
    """Read a spec file `{"code": ..., "settings": {...}}`; kind: TypedDict of its settings.

    Raises StageError, naming the file and the key, unless the settings are of that kind.
    """
    content = read_small(path)
    value = parse_json(content, path)
    if not isinstance(value, dict) or not isinstance(value.get("settings"), dict):
        raise StageError(f"{path}: not a spec; expected an object with `settings`")
    settings = check(kind, value["settings"], Path(path))
    return Spec(settings, hashlib.sha256(content).hexdigest())
