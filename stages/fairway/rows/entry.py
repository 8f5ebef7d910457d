"""A row's entry in the configuration: what the Snakefile and the tables both take from it."""

from typing import Any

NONE = "none"  # the model, cache or gate of a row that has none


def row_seeds(config: dict[str, Any], row: dict[str, Any]) -> list[int]:
    """The seeds of a row: those of its models, or one 0 where nothing is trained."""
    return [0] if row["model"] == NONE else config["seeds"]
