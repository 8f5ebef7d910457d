"""What the configuration asks for: which models, caches and rows, where their files lie, and
what their jobs need. Used by the Snakefile only, so that it holds wiring and nothing else.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from fairway.corpus.documents import expand_paths
from fairway.corpus.downloads import download_key
from fairway.rows.entry import NONE, row_seeds
from fairway.stage import StageError
from fairway.workflow.config import is_decodable, resolve_config, used, used_memories
from fairway.workflow.specs import SpecWriter


class Plan:
    """The jobs of one configuration.

    config: as read from YAML; root: the checkout; python: what runs the stages. Raises
    StageError, a line per fault.
    """

    def __init__(self, config: dict[str, Any], root: Path, python: str = sys.executable) -> None:
        self.root, self.python = Path(root), python
        self.config = resolve_config(config, self.root / "config" / "schema.yaml")
        self.specs = SpecWriter(self.config, Path("results/specs"))
        self.seeds, self.ranks = self.config["seeds"], range(self.config["ranks"])
        self.rows = {row["name"]: row for row in self.config["rows"]}
        self.decodable = [n for n, row in self.rows.items() if is_decodable(self.config, row)]
        self.models, self.caches = used(self.config, "model"), used(self.config, "cache")
        self.memories = used_memories(self.config)
        self.given_shards = self.config["corpus"]["kind"] == "shards"
        self.downloads = self.given_shards and self.config["corpus"]["download"] is not None
        self.receipt = f"results/corpus/download.{download_key(self.config['corpus'])}.json"

    def documents(self) -> tuple[list[str], list[str]]:
        """Files that the corpus is made from, and a line for each pattern that names none.

        Such a pattern stays in the list as it is, so that jobs that need it stop, and only they.
        What is to be downloaded is represented by its receipt.
        """
        if self.downloads:
            return [self.receipt], []
        files, absent = [], []
        for key in ("paths", "train_shards", "val_shards", "val_documents", "tokenizer"):
            named = self.specs.corpus.get(key) or []
            for pattern in [named] if isinstance(named, str) else named:
                try:
                    files += [str(path) for path in expand_paths(f"corpus.{key}", [pattern])]
                except StageError as error:
                    files.append(pattern)
                    absent.append(str(error))
        # Snakemake takes {…} in a name for a wildcard; the stages find these files by themselves.
        return [file for file in files if "{" not in file], absent

    def spec(self, stage: str, wildcard: str | None = None) -> Any:
        """Spec path of a stage, or a function of wildcards giving the one for `wildcard`.

        All specs are written now: Snakemake lists a folder once and does not see what comes later.
        """
        if wildcard is None:
            return self.specs.path(stage)
        keys = {"model": self.models, "cache": self.caches, "row": self.rows}
        for key in (keys | {"memory": self.memories})[wildcard]:
            self.specs.path(stage, key)
        return lambda wildcards: self.specs.path(stage, getattr(wildcards, wildcard))

    def command(self, stage: str, flags: str, printed: bool = False) -> str:
        """Shell text of a rule: the stage with its spec, and all it prints into the log.

        printed: what the stage writes to its standard output is for the terminal instead.
        """
        script = os.path.relpath(self.root / "stages" / f"{stage}.py")
        log = "2> {log}" if printed else "> {log} 2>&1"
        return f"{literal(shlex.join([self.python, script]))} --spec {{input.spec}} {flags} {log}"

    def row_seeds(self, row: str) -> list[int]:
        """The seeds that a row is scored with; 0 stands for the one score of a row of no model."""
        return row_seeds(self.config, self.rows[row])

    def row_files(self, row: str, name: str) -> list[str]:
        """One file of a row, seed by seed; name: what follows the seed's number."""
        return [f"results/rows/{row}/seed{seed}.{name}" for seed in self.row_seeds(row)]

    @property
    def pairs(self) -> dict[str, list]:
        """Every row with each of its seeds, as two lists for `expand` to zip."""
        pairs = [(row, seed) for row in self.rows for seed in self.row_seeds(row)]
        return dict(zip(("row", "seed"), map(list, zip(*pairs, strict=True)), strict=True))

    def scores(self, row: str, seeds: list[int]) -> list[str]:
        """Score shards of a row's model: seed by seed, rank by rank; none without a model."""
        shards = [(seed, f"scores/rank{rank}.npz") for seed in seeds for rank in self.ranks]
        return [path for seed, name in shards for path in self.model_files(row, name, [seed])]

    def counts(self, row: str) -> list[str]:
        """Count shards of a row's cache, rank by rank; none for the neural row."""
        cache = self.rows[row]["cache"]
        return [f"results/counts/{cache}/rank{r}.npz" for r in self.ranks if cache != NONE]

    def cache_audit(self, row: str) -> list[str]:
        """Evidence about a row's cache; none for the neural row."""
        cache = self.rows[row]["cache"]
        return [f"results/counts/{cache}/audit.npz"] if cache != NONE else []

    def model_files(self, row: str, name: str, seeds: list[int]) -> list[str]:
        """One file of a row's model, seed by seed; none without a model."""
        model = self.rows[row]["model"]
        return [f"results/models/{model}/seed{s}/{name}" for s in seeds if model != NONE]

    def memory(self, cache: str) -> list[str]:
        """The memory that a cache begins with; none for one without, or for no cache."""
        memory = self.config["caches"].get(cache, {}).get("memory")
        return [f"results/memories/{memory}.bin"] if memory else []

    def row_memory(self, row: str) -> list[str]:
        """The memory of a row's cache."""
        return self.memory(self.rows[row]["cache"])

    def threads(self, section: str) -> Any:
        """Function of wildcards: CPU threads of a model's job, over all its processes."""

        def threads(wildcards: Any) -> int:
            settings = self.config["models"][wildcards.model][section]
            return settings["threads"] * settings.get("world_size", 1)

        return threads

    def gpus(self, section: str) -> Any:
        """Function of wildcards: GPUs of a model's job, one per process, 0 on the CPU."""

        def gpus(wildcards: Any) -> int:
            settings = self.config["models"][wildcards.model][section]
            return settings.get("world_size", 1) if settings["device"] == "cuda" else 0

        return gpus


def literal(text: str) -> str:
    """Text that Snakemake is to take as it is where it looks for names in braces."""
    return text.replace("{", "{{").replace("}", "}}")


def missing_files(result: str, made_from: list[str]) -> list[str]:
    """Files that `result` was made from and that are gone while `result` itself is there.

    Snakemake does not rebuild these, nor say so.
    """
    if not Path(result).is_file():
        return []
    return [path for path in dict.fromkeys(made_from) if not Path(path).exists()]
