"""The configuration files that are shipped."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "config" / "schema.yaml"


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())


def read_default() -> dict:
    """config.yaml."""
    return yaml.safe_load((ROOT / "config.yaml").read_text())
