"""The configuration files that are shipped, merged as Snakemake merges them."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "config" / "schema.yaml"


def merge(base: dict, override: dict) -> dict:
    """Deeply, lists replaced, as Snakemake merges --configfile."""
    merged = dict(base)
    for key, value in override.items():
        deep = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = merge(base[key], value) if deep else value
    return merged


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())
