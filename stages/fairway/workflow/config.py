"""The configuration: checked against a closed schema, defaults filled in, references resolved.

Every fault is one line that names the key, the value found and what was expected. Used by the
Snakefile only.
"""

import difflib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from fairway.rows.entry import NONE
from fairway.stage import StageError
from fairway.workflow.values import value_faults

Config = dict[str, Any]
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def resolve_config(config: Config, schema_file: Path) -> Config:
    """Return a copy of `config` with defaults filled in.

    Raises StageError with one line per fault.
    """
    schema = yaml.safe_load(Path(schema_file).read_text())
    resolved = _copy(config)
    faults = [_describe(error) for error in _errors(resolved, schema)]
    faults = faults or list(_reference_faults(resolved)) or list(value_faults(resolved))
    if faults:
        raise StageError("\n".join(dict.fromkeys(faults)))
    return resolved


def _copy(value: Any) -> Any:
    """Plain dicts and lists, deep (Snakemake hands over its own mapping type)."""
    if isinstance(value, dict):
        return {key: _copy(entry) for key, entry in value.items()}
    return [_copy(entry) for entry in value] if isinstance(value, list) else value


def _errors(config: Config, schema: Config) -> list[jsonschema.ValidationError]:
    """All faults in order of their place; `default` values of the schema are put into config."""
    plain = jsonschema.Draft202012Validator

    def properties(validator, properties, instance, schema):
        if isinstance(instance, dict):
            for name, entry in properties.items():
                if "default" in entry:
                    instance.setdefault(name, _copy(entry["default"]))
        yield from plain.VALIDATORS["properties"](validator, properties, instance, schema)

    types = plain.TYPE_CHECKER.redefine_many({"integer": _is_whole, "number": _is_real})
    strict = jsonschema.validators.extend(plain, {"properties": properties}, type_checker=types)
    found = strict(schema).iter_errors(config)
    return sorted(found, key=lambda error: list(map(str, error.path)))


def _is_whole(_checker: object, value: Any) -> bool:
    """An integer as Python's: 2.0, which JSON Schema lets pass, is none to what uses it."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_real(checker: object, value: Any) -> bool:
    return _is_whole(checker, value) or (isinstance(value, float) and math.isfinite(value))


def _dotted(path: Any) -> str:
    return ".".join(str(part) for part in path)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(sorted(known))}"


def _describe(error: jsonschema.ValidationError) -> str:
    """One line for one schema fault."""
    place = _dotted(error.absolute_path)
    found = error.instance
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = sorted(str(key) for key in set(found) - set(known))
        lines = [
            f"config key `{_dotted([*error.absolute_path, name])}`: unknown; "
            f"{_nearest(name, known)}"
            for name in unknown
        ]
        return "\n".join(lines)
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in found]
        return f"config key `{_dotted([*error.absolute_path, missing[0]])}`: missing"
    if error.validator == "enum":
        known = [str(value) for value in error.validator_value]
        hint = _nearest(found, known) if isinstance(found, str) else f"expected {', '.join(known)}"
        return f"config key `{place}`: {found!r}; {hint}"
    if error.validator == "anyOf":
        reasons = (_describe(choice).partition("; ")[2] for choice in error.context)
        return f"config key `{place}`: {found!r}; {', or '.join(reasons)}"
    if error.validator == "type":
        kinds = error.validator_value
        kinds = kinds if isinstance(kinds, str) else " or ".join(kinds)
        kinds = kinds.replace("number", "finite number")
        hint = ", not text" if _is_number(found) else ""
        return f"config key `{place}`: {found!r}; expected {kinds}{hint}"
    if error.validator in BOUNDS:
        bound = f"{BOUNDS[error.validator]} {error.validator_value}"
        return f"config key `{place}`: {found!r}; expected {bound}"
    return f"config key `{place}`: {error.message}"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, str)


def _reference_faults(config: Config) -> Iterator[str]:
    """Faults that a schema cannot see: names that rows refer to, twice-named rows and seeds."""
    for section in ("models", "caches", "gates", "memories"):
        if NONE in config[section]:
            yield f"config key `{section}.{NONE}`: the name `{NONE}` is reserved"
    for name, cache in config["caches"].items():
        if cache["memory"] not in (None, *config["memories"]):
            yield (
                f"config key `caches.{name}.memory`: {cache['memory']!r} is not in `memories`; "
                f"{_nearest(cache['memory'], list(config['memories']))}"
            )
    names = [row["name"] for row in config["rows"]]
    for index, row in enumerate(config["rows"]):
        place = f"rows.{index} ({row['name']})"
        if names.index(row["name"]) != index:
            yield f"config key `{place}`: this row name is used twice"
        yield from _row_faults(config, place, row)
    if len(set(config["seeds"])) != len(config["seeds"]):
        yield f"config key `seeds`: {config['seeds']}; expected each seed once"


def _row_faults(config: Config, place: str, row: Config) -> Iterator[str]:
    for key, section in (("model", "models"), ("cache", "caches"), ("gate", "gates")):
        known = [*config[section], NONE]
        if row[key] not in known:
            yield (
                f"config key `{place}.{key}`: {row[key]!r} is not in `{section}`; "
                f"{_nearest(row[key], known)}"
            )
            return
    if (row["cache"] == NONE) != (row["gate"] == NONE):
        yield f"config key `{place}`: cache and gate must both be `{NONE}` or neither"
    elif row["cache"] != NONE:
        output = config["caches"][row["cache"]]["output"]
        needed = "orders" if config["gates"][row["gate"]]["kind"] == "empirical_bayes" else "match"
        if output != needed:
            yield (
                f"config key `{place}.cache`: `{row['cache']}` has output `{output}`; "
                f"the gate `{row['gate']}` needs `{needed}`"
            )
        if "claim" in row and not is_decodable(config, row):
            yield (
                f"config key `{place}.claim`: {row['claim']}; expected none: cache "
                f"`{row['cache']}` is hashed, and a hashed row is no code length"
            )


def is_decodable(config: Config, row: Config) -> bool:
    """Whether a row can be a code, and so is proven: it has no cache, or an exact one."""
    return row["cache"] == NONE or config["caches"][row["cache"]]["kind"] == "exact"


def used(config: Config, key: str) -> list[str]:
    """Names of the models or caches (key: model, cache) that rows have, each once, in order."""
    return [name for name in dict.fromkeys(row[key] for row in config["rows"]) if name != NONE]


def used_memories(config: Config) -> list[str]:
    """Names of the memories that the rows' caches begin with."""
    memories = (config["caches"][name]["memory"] for name in used(config, "cache"))
    return [name for name in dict.fromkeys(memories) if name is not None]
