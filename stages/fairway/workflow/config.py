"""The configuration: checked against a closed schema, defaults filled in, references resolved.

Every fault is one line that names the key, the value found and what was expected. Used by the
Snakefile, and by the stages whose spec holds a whole configuration.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from fairway.closure import STAGES
from fairway.rows.entry import NONE
from fairway.stage import StageError
from fairway.workflow.fitting import size_faults
from fairway.workflow.schema import Config, copied, describe, errors, nearest
from fairway.workflow.sweeps import sweep_faults
from fairway.workflow.values import value_faults


def resolve_config(config: Config, schema_file: Path) -> Config:
    """Return a copy of `config` with defaults filled in.

    Raises StageError with one line per fault.
    """
    schema = yaml.safe_load(Path(schema_file).read_text())
    resolved = copied(config)
    faults = [describe(error) for error in errors(resolved, schema)]
    faults = faults or list(_reference_faults(resolved)) or list(value_faults(resolved))
    faults = faults or list(sweep_faults(resolved, schema)) or list(size_faults(resolved))
    if faults:
        raise StageError("\n".join(dict.fromkeys(faults)))
    return resolved


def checked_config(config: Config, name: object) -> Config:
    """A whole configuration that a spec holds, which has passed this once; name: of the file.

    Raises StageError with the first fault.
    """
    try:
        return resolve_config(config, STAGES.parent / "config" / "schema.yaml")
    except StageError as error:
        raise StageError(f"{name}: {str(error).splitlines()[0]}") from None


def _reference_faults(config: Config) -> Iterator[str]:
    """Faults that a schema cannot see: names that rows refer to, twice-named rows and seeds."""
    for section in ("models", "caches", "gates", "memories"):
        if NONE in config[section]:
            yield f"config key `{section}.{NONE}`: the name `{NONE}` is reserved"
    for section in ("models", "caches", "memories", "sweeps"):
        yield from _case_faults((f"{section}.{name}", name) for name in config[section])
    for name, cache in config["caches"].items():
        if cache["memory"] not in (None, *config["memories"]):
            yield (
                f"config key `caches.{name}.memory`: {cache['memory']!r} is not in `memories`; "
                f"{nearest(cache['memory'], list(config['memories']))}"
            )
    names = [row["name"] for row in config["rows"]]
    for index, row in enumerate(config["rows"]):
        place = f"rows.{index} ({row['name']})"
        if names.index(row["name"]) != index:
            yield f"config key `{place}`: this row name is used twice"
        yield from _row_faults(config, place, row)
    yield from _case_faults((f"rows.{index} ({name})", name) for index, name in enumerate(names))
    for name in config["references"]:
        if name in names:
            yield (
                f"config key `references.{name}`: the name of a row; expected another, since "
                "tables say by it what a row is compared with"
            )
    row = config["submission"]["row"]
    if row not in (None, *names):
        yield f"config key `submission.row`: {row!r} is not in `rows`; {nearest(row, names)}"
    if len(set(config["seeds"])) != len(config["seeds"]):
        yield f"config key `seeds`: {config['seeds']}; expected each seed once"


def _case_faults(places: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Names of files that differ only in case, and so are one file on some systems.

    places: where each stands in the configuration, and the name.
    """
    first: dict[str, str] = {}
    for place, name in places:
        other = first.setdefault(name.lower(), name)
        if other != name:
            yield (
                f"config key `{place}`: like `{other}` but for upper and lower case; expected "
                "another name, since it names files, and some file systems take both for one"
            )


def _row_faults(config: Config, place: str, row: Config) -> Iterator[str]:
    for key, section in (("model", "models"), ("cache", "caches"), ("gate", "gates")):
        known = [*config[section], NONE]
        if row[key] not in known:
            yield (
                f"config key `{place}.{key}`: {row[key]!r} is not in `{section}`; "
                f"{nearest(row[key], known)}"
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
