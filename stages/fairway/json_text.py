"""JSON text that is read back strictly, and that carries a checksum of itself.

The last key of a sealed text is `file_sha256`: the SHA-256, 64 hex digits, of all bytes before it.
"""

import hashlib
import json
import math
import re
from typing import Any

SEAL = "file_sha256"
_SEAL_AT_END = re.compile(rf'"{SEAL}": "([0-9a-f]{{64}})"\n?}}\n\Z'.encode())
_SEAL_BYTES = 100  # at most


def parse(content: bytes | str) -> Any:
    """The value of JSON text; ValueError or RecursionError for what is none.

    Also for what only some readers of JSON take: NaN and numbers too large for a float or 64 bits,
    a key given twice, nesting without end.
    """
    return json.loads(
        content,
        object_pairs_hook=_object,
        parse_constant=_number,
        parse_float=_number,
        parse_int=_integer,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, item in pairs:
        if name in value:
            raise ValueError(f"the key {name[:40]!r} twice")
        value[name] = item
    return value


def _number(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"the number {text[:20]}")
    return value


def _integer(text: str) -> int:
    if not -(1 << 63) <= (value := int(text)) < 1 << 64:
        raise ValueError(f"the number {text[:20]}")
    return value


def sealed(text: str) -> str:
    """JSON of an object, which is not empty, with one more key, last: its checksum.

    What stands before the object (lines of other objects) is covered as well.
    """
    text = text.rstrip().removesuffix("}")
    comma, end = (",\n ", "\n}\n") if text.endswith("\n") else (", ", "}\n")
    before = text.rstrip() + comma
    return f'{before}"{SEAL}": "{hashlib.sha256(before.encode()).hexdigest()}"{end}'


def check_seal(content: bytes) -> None:
    """Raise ValueError unless `content` ends as `sealed` made it end."""
    match = _SEAL_AT_END.search(content, max(0, len(content) - _SEAL_BYTES))
    if not match:
        raise ValueError(f"does not end with its `{SEAL}`")
    if hashlib.sha256(content[: match.start()]).hexdigest().encode() != match[1]:
        raise ValueError(f"its content has another `{SEAL}`")
