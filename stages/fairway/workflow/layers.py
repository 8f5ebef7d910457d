"""Configuration files, each over the ones before it: read strictly, put together by kind.

`config.yaml` is the lowest layer, then the files of `--configfile` in their order, then what
`--config` says. Used by the Snakefile and, before it starts Snakemake, by envs/launch.py.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from fairway.counting.settings import KIND_KEYS as CACHE_KEYS
from fairway.counting.settings import MEMORY_KEYS
from fairway.gates.settings import KIND_KEYS as GATE_KEYS
from fairway.model.architecture import KIND_KEYS as LAYERS_KEYS
from fairway.stage import StageError

Config = dict[str, Any]
# Sections whose entry under `key` says which keys its kind has: path (* is any name), key, keys.
KINDS = (
    (("gates", "*"), "kind", GATE_KEYS),
    (("caches", "*"), "kind", CACHE_KEYS),
    (("memories", "*"), "budget", MEMORY_KEYS),
    (("models", "*", "architecture"), "layers", LAYERS_KEYS),
)
LARGEST_POWER = 31  # of two, of a table's buckets
DIGITS = r"[0-9][0-9_]*"
SURPRISES = (  # of YAML 1.1: type of an unquoted word, such words, what they are read as, the cure
    ("int", rf"[-+]?0{DIGITS}", "{value}, octal", "no leading 0, or quotes"),
    ("int", r".*:.*", "{value}, base 60", "{value} itself, or quotes"),
    ("float", r".*:.*", "{value}, base 60", "{value} itself, or quotes"),
    ("str", r"[-+]?0[0-9]+", "text", "no leading 0, or quotes"),
    ("str", r"0o[0-7]+", "text", "a decimal number, or quotes"),
    ("str", rf"[-+]?({DIGITS}\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", "text", "{plain}, or quotes"),
    ("timestamp", r".*", "a date", "quotes"),
)


def configuration_of(workflow: Any) -> Config:
    """The configuration of Snakemake's `workflow`, made from the files themselves.

    Snakemake's own has lost by now what came twice, and which layer a key is from.
    Raises StageError, a line per fault.
    """
    given = workflow.overwrite_configfiles
    default = workflow.configfiles[len(given) :]  # what the Snakefile itself names
    files = given if workflow.config_settings.replace_workflow_config else [*default, *given]
    return put_together([*map(read_layer, files), workflow.config_settings.config])


def read_layer(file: Path) -> Config:
    """One file, JSON or else YAML, as Snakemake takes it.

    Raises StageError, a line per fault with its place: damage, a key given twice, and words that
    YAML 1.1 reads as something else than they look like.
    """
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise StageError(f"{file}: {reason}; expected a configuration file") from None
    try:
        found = json.loads(text, object_pairs_hook=lambda pairs: _once(file, pairs))
    except ValueError:
        found = _read_yaml(file, text)
    except RecursionError:
        raise StageError(f"{file}: nested too deeply") from None
    if not isinstance(found, dict):
        raise StageError(f"{file}: {_kind_of(found)}; expected keys and values")
    return found


def _kind_of(found: Any) -> str:
    return "empty" if found is None else f"a {type(found).__name__}"


def _once(file: Path, pairs: list[tuple[str, Any]]) -> Config:
    """A JSON object whose keys are given once."""
    found: Config = {}
    for key, value in pairs:
        if key in found:
            raise StageError(f"{file}: key `{key}` is given twice; expected it once")
        found[key] = value
    return found


def _read_yaml(file: Path, text: str) -> Any:
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        faults = [] if node is None else list(_faults(loader, node, (), set()))
        if faults:
            raise StageError("\n".join(f"{file}, {fault}" for fault in dict.fromkeys(faults)))
        return None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise StageError(f"{file}, line {mark.line + 1}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise StageError(f"{file}: {reason}; expected YAML or JSON") from None


def _faults(loader: yaml.SafeLoader, node: yaml.Node, around: tuple, done: set) -> Iterator[str]:
    """Lines about a node and what is in it.

    around: nodes that it is in; done: ids of nodes already looked at, which grows.
    """
    line = f"line {node.start_mark.line + 1}"
    if node in around:
        yield f"{line}: an alias of something that it is itself in"
    if id(node) in done:
        return
    done.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield from (f"{line}: {fault}" for fault in _surprises(loader, node))
        return
    parts = node.value
    if isinstance(node, yaml.MappingNode):
        yield from _key_faults(node)
        parts = [value for _, value in node.value]
    for part in parts:
        yield from _faults(loader, part, (*around, node), done)


def _key_faults(node: yaml.MappingNode) -> Iterator[str]:
    """Keys that are no text, or there twice."""
    first: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        kind = key.tag.rpartition(":")[2]
        if kind not in ("str", "merge"):
            named = f"`{key.value}`" if isinstance(key, yaml.ScalarNode) else kind
            yield f"line {line}: key {named}: read as {kind} (YAML 1.1); expected text, in quotes"
        elif key.value in first:
            place = f"first in line {first[key.value]}"
            yield f"line {line}: key `{key.value}` is given twice ({place}); expected it once"
        else:
            first[key.value] = line


def _surprises(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Iterator[str]:
    """What YAML 1.1 silently makes of an unquoted word that looks like something else."""
    if node.style is not None:
        return
    for kind, pattern, reading, cure in SURPRISES:
        if node.tag == f"tag:yaml.org,2002:{kind}" and re.fullmatch(pattern, node.value):
            value = "" if kind == "timestamp" else loader.construct_object(node)
            words = {"value": value, "plain": _plain(node.value) if "{plain}" in cure else ""}
            read, expected = reading.format(**words), cure.format(**words)
            yield f"`{node.value}`: read as {read} (YAML 1.1); expected {expected}"
            return


def _plain(number: str) -> str:
    """A number that YAML 1.1 takes for text, in a way that it takes for a number."""
    written = repr(float(number.replace("_", "")))
    mantissa, e, exponent = written.partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}" if e else written


def put_together(layers: Iterable[Config]) -> Config:
    """Each layer over those before it: mappings deeply, anything else as a whole.

    Where a layer gives an entry another kind, keys that only the former kind has are dropped if
    they are from a layer before: nobody wrote them for the new kind. So are sweeps of rows that a
    layer's own `rows` do not have.
    """
    merged: Config = {}
    for layer in map(_as_now_written, layers):
        if isinstance(rows := layer.get("rows"), list) and "sweeps" in merged:
            names = [row.get("name") for row in rows if isinstance(row, dict)]
            kept = merged["sweeps"].items()
            merged["sweeps"] = {name: sweep for name, sweep in kept if sweep.get("row") in names}
        _put_over(merged, layer, ())
    return merged


def _as_now_written(layer: Config) -> Config:
    """A layer with the section `sweep`, {row, log2_buckets}, as the sweep `buckets` that it meant.

    One that is otherwise stays, an unknown key.
    """
    match layer:
        case {"sweep": {"row": row, "log2_buckets": [*powers]}} if all(
            type(power) is int and 0 <= power <= LARGEST_POWER for power in powers
        ):
            swept = {"row": row, "cache": {"buckets": [1 << power for power in powers]}}
            rest = {key: value for key, value in layer.items() if key != "sweep"}
            return rest | {"sweeps": {"buckets": swept} | layer.get("sweeps", {})}
    return layer


def _put_over(base: Config, layer: Config, path: tuple[str, ...]) -> None:
    for key in _outdated(base, layer, path):
        del base[key]
    for key, value in layer.items():
        if isinstance(value, dict):
            if not isinstance(base.get(key), dict):
                base[key] = {}
            _put_over(base[key], value, (*path, key))
        else:
            base[key] = value


def _outdated(base: Config, layer: Config, path: tuple[str, ...]) -> list[str]:
    """Keys of the base that the kind which a layer changes it to does not have."""
    for pattern, kind, keys in KINDS:
        fits = len(path) == len(pattern) and all(
            wanted in ("*", name) for wanted, name in zip(pattern, path, strict=True)
        )
        new = layer.get(kind)
        if fits and kind in base and base[kind] != new and isinstance(new, str) and new in keys:
            foreign = set().union(*keys.values()) - keys[new]
            return [key for key in base if key in foreign]
    return []
