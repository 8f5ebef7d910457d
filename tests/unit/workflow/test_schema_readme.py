"""config/README.md is what the schema says, and the schema says what every key means."""

import subprocess
import sys

import yaml

from support.configs import ROOT, SCHEMA

EXPLAINED_BY_THEIR_KEYS = {  # sections, not settings
    *("corpus", "windows", "limits", "models", "caches", "gates", "rows", "audit", "proof"),
    *("memories", "sweeps", "estimates", "tokens", "rules"),
}


def undescribed(schema, place=()):
    """Keys that a configuration may have and that no description explains."""
    for key, entry in schema.get("properties", {}).items():
        inner = "$ref" in entry and "default" not in entry and place and place[-1] == "model"
        if (
            entry
            and "description" not in entry
            and key not in EXPLAINED_BY_THEIR_KEYS
            and not inner
        ):
            yield ".".join((*place, key))
        yield from undescribed(
            entry.get("items", entry) if isinstance(entry, dict) else {}, (*place, key)
        )


def test_every_key_says_what_it_means():
    schema = yaml.safe_load(SCHEMA.read_text())
    found = list(undescribed(schema))
    for name, definition in schema["$defs"].items():
        found += undescribed(definition, (name,))
    rules = [
        f"estimates.rules.{rule}"
        for rule in schema["$defs"]["estimates"]["properties"]["rules"]["properties"]
    ]
    assert set(found) - set(rules) == set()


def test_the_readme_is_what_the_schema_says(tmp_path):
    for name in ("describe.py", "schema.yaml"):
        (tmp_path / name).write_text((ROOT / "config" / name).read_text())
    subprocess.run([sys.executable, tmp_path / "describe.py"], check=True)
    made = (tmp_path / "README.md").read_text()
    assert made == (ROOT / "config" / "README.md").read_text(), "run python config/describe.py"
    assert "| `windows.length`" not in made and "| `length` | context the model sees" in made
    for key in ("seeds", "claim", "muon_lr", "download.revision", "learning_rate", "per_second"):
        assert f"| `{key}` |" in made, key


def test_every_shipped_configuration_is_named():
    text = (ROOT / "config" / "README.md").read_text()
    for path in (ROOT / "config").glob("*.yaml"):
        assert path.name in text, path.name
