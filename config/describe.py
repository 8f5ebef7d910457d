"""Write config/README.md from config/schema.yaml: each key with its meaning, values and default.

.venv/bin/python config/describe.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent
SECTIONS = ("corpus", "windows", "limits", "rows", "audit", "proof", "submission", "estimates")
HEAD = """\
# Keys of the configuration

Made from `schema.yaml` by `python config/describe.py`; a test keeps the two together. The default
configuration is `../config.yaml`. Settings of your own go into a file that is put over it,
`./run --configfile mine.yaml`: a key given there replaces the default's, a list as a whole, and a
changed `kind` (or `layers`) drops the keys of the former one. An unknown key stops the run.

| file | what it is |
|---|---|
"""
FILES = {
    "smoke.yaml": "every rule, in a minute",
    "counts_only.yaml": "rows without a network, in seconds",
    "fineweb.yaml": "the record's sizes, with `estimates` of what it costs",
    "fineweb_slice.yaml": "the default run on a little of FineWeb, its training text a memory",
    "download.yaml": "over fineweb.yaml: fetches the shards first",
    "published_packing.yaml": "over fineweb.yaml: int6 by percentiles and LZMA, as the record's",
    "shrunk.yaml": "over fineweb.yaml: its wiring at test size",
}


def values(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Which values a key takes, in a few words."""
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **schema}
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {values(schema['items'], definitions)}"
    if "anyOf" in schema:
        return " or ".join(values(choice, definitions) for choice in schema["anyOf"])
    kinds = schema.get("type", "object")
    kind = " or ".join(kinds) if isinstance(kinds, list) else kinds
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    if low is None or abs(low) >= 1e9:
        return kind
    return f"{kind} {'≥' if 'minimum' in schema else '>'} {low:g}"


def default(schema: dict[str, Any]) -> str:
    """A key's default as YAML, or nothing where it has none."""
    if "default" not in schema:
        return ""
    text = yaml.safe_dump(schema["default"], default_flow_style=True, width=1 << 20)  # one line
    return f"`{text.strip().removesuffix('...').strip()}`"


def lines_of(section: dict[str, Any], definitions: dict[str, Any], place: str) -> Iterator[str]:
    """A table row for each key; the keys of an object inside stand behind its name."""
    for key, schema in section.get("properties", {}).items():
        if not schema or (key == "kind" and "description" not in schema):
            continue
        name = f"{place}{key}"
        inner = schema if "properties" in schema else {}
        if "description" in schema:
            meaning = schema["description"].replace("|", "\\|")
            yield f"| `{name}` | {meaning} | {values(schema, definitions)} | {default(schema)} |"
        yield from lines_of(inner, definitions, f"{name}.")


def section_text(title: str, schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """One section: its title and the table of its keys."""
    head = ["| key | meaning | values | default |", "|---|---|---|---|"]
    return "\n".join([f"\n## {title}\n", *head, *lines_of(schema, definitions, "")]) + "\n"


def document(schema: dict[str, Any]) -> str:
    """The whole text of config/README.md."""
    definitions, top = schema["$defs"], schema["properties"]
    plain = {key: entry for key, entry in top.items() if "description" in entry}
    text = HEAD + "".join(f"| `{name}` | {what} |\n" for name, what in FILES.items())
    text += section_text("Top level", {"properties": plain}, definitions)
    for name in SECTIONS:
        section = definitions.get(name, top.get(name))
        text += section_text(f"`{name}`", section.get("items", section), definitions)
    for part in definitions["model"]["properties"]:
        text += section_text(f"`models.NAME.{part}`", definitions[part], definitions)
    text += section_text("`memories.NAME`", definitions["memory"], definitions)
    text += section_text("`caches.NAME`", definitions["cache"], definitions)
    text += section_text("`sweeps.NAME`", definitions["sweep"], definitions)
    text += section_text("`gates.NAME`", definitions["gate"], definitions)
    for variant in (name for name in definitions if name.startswith("gate_")):
        title = f"`gates.NAME` of kind `{variant.removeprefix('gate_')}`"
        text += section_text(title, definitions[variant], definitions)
    return text + section_text("`estimates.rules.RULE`", definitions["speed"], definitions)


def main() -> None:
    schema = yaml.safe_load((FOLDER / "schema.yaml").read_text())
    (FOLDER / "README.md").write_text(document(schema))


if __name__ == "__main__":
    main()
