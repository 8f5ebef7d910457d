"""The schema of the configuration: its faults as lines, its defaults filled in.

A line names the key, the value found and what was expected.
"""

import difflib
import math
from typing import Any

import jsonschema

Config = dict[str, Any]
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def copied(value: Any) -> Any:
    """Plain dicts and lists, deep (Snakemake hands over its own mapping type)."""
    if isinstance(value, dict):
        return {key: copied(entry) for key, entry in value.items()}
    return [copied(entry) for entry in value] if isinstance(value, list) else value


def errors(config: Config, schema: Config) -> list[jsonschema.ValidationError]:
    """All faults in order of their place; `default` values of the schema are put into config."""
    plain = jsonschema.Draft202012Validator

    def properties(validator, properties, instance, schema):
        if isinstance(instance, dict):
            for name, entry in properties.items():
                if "default" in entry:
                    instance.setdefault(name, copied(entry["default"]))
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


def nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(sorted(known))}"


def describe(error: jsonschema.ValidationError) -> str:
    """One line for one schema fault."""
    place = _dotted(error.absolute_path)
    found = error.instance
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = sorted(str(key) for key in set(found) - set(known))
        lines = [
            f"config key `{_dotted([*error.absolute_path, name])}`: unknown; "
            f"{nearest(name, known)}"
            for name in unknown
        ]
        return "\n".join(lines)
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in found]
        return f"config key `{_dotted([*error.absolute_path, missing[0]])}`: missing"
    if error.validator == "enum":
        known = [str(value) for value in error.validator_value]
        hint = nearest(found, known) if isinstance(found, str) else f"expected {', '.join(known)}"
        return f"config key `{place}`: {found!r}; {hint}"
    if error.validator == "anyOf":
        reasons = (describe(choice).partition("; ")[2] for choice in error.context)
        return f"config key `{place}`: {found!r}; {', or '.join(reasons)}"
    if error.validator == "type":
        kinds = error.validator_value
        kinds = kinds if isinstance(kinds, str) else " or ".join(kinds)
        kinds = kinds.replace("number", "finite number")
        hint = ", not text" if _is_number(found) else ""
        return f"config key `{place}`: {found!r}; expected {kinds}{hint}"
    if error.validator == "maxLength":
        return (
            f"config key `{place}`: {found!r}; expected at most {error.validator_value} characters"
        )
    if error.validator in BOUNDS:
        bound = f"{BOUNDS[error.validator]} {error.validator_value}"
        return f"config key `{place}`: {found!r}; expected {bound}"
    return f"config key `{place}`: {error.message}"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (OverflowError, TypeError, ValueError):
        return False
    return isinstance(value, str)
