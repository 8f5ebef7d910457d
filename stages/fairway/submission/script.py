"""The script that is handed in: the stages that train and score a row, in one file."""

from collections.abc import Mapping
from typing import Any

from fairway.bundle import bundle, code_files
from fairway.closure import STAGES, imported_packages

SCRIPTS = (
    *("train_gpt.py", "encode_corpus.py", "train_model.py", "quantize_model.py"),
    *("pack_artifact.py", "pack_memory.py", "score_targets.py", "count_ngrams.py"),
)


def script(entry: Mapping[str, Any]) -> bytes:
    """train_gpt.py of a row. entry: its settings and those of its stages."""
    return bundle(code_files(SCRIPTS), "train_gpt", entry)


def packages() -> set[str]:
    """Installed packages that the script imports."""
    return {name for path in SCRIPTS for name in imported_packages(STAGES / path)}
