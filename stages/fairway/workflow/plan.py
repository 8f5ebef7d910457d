"""What the configuration asks for: which models, caches and rows, where their files lie, what
their jobs need, and which of them must run. Used by the Snakefile, so that it holds wiring and
nothing else, and by ./run to know whether a table is the configuration's.
"""

import os
import shlex
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake.io import ancient

from fairway import provenance
from fairway.corpus.documents import source_files
from fairway.corpus.downloads import download_key
from fairway.rows.entry import NONE, row_seeds
from fairway.stage import write_json
from fairway.workflow import jobs
from fairway.workflow.config import resolve_config, used, used_memories
from fairway.workflow.former_specs import namesakes, remove_unused
from fairway.workflow.specs import Specs

MISSING = "results/specs/missing.json"  # texts of the specs that write_specs is to write
READ_SOURCES = ("train_tokenizer", "encode_corpus")


class Plan:
    """The jobs of one configuration.

    config: as read from YAML; root: the checkout; python: what runs the stages. Raises
    StageError, a line per fault.
    """

    def __init__(self, config: dict[str, Any], root: Path, python: str = sys.executable) -> None:
        self.root, self.python = Path(root), python
        self.config = resolve_config(config, self.root / "config" / "schema.yaml")
        self.specs = Specs(self.config, Path("results/specs"))
        self.seeds, self.ranks = self.config["seeds"], range(self.config["ranks"])
        self.rows = {row["name"]: row for row in self.config["rows"]}
        self.decodable = jobs.decodable(self.config)
        self.models, self.caches = used(self.config, "model"), used(self.config, "cache")
        self.memories = used_memories(self.config)
        self.given_shards = self.config["corpus"]["kind"] == "shards"
        self.downloads = self.given_shards and self.config["corpus"]["download"] is not None
        self.receipt = f"results/corpus/download.{download_key(self.config['corpus'])}.json"
        self.sources, self.absent = source_files(self.specs.corpus)
        self.force: Callable[[str], None] | None = None

    def documents(self, output: str) -> list[str]:
        """What a job that makes `output` of the corpus waits for: its download, or patterns that
        name no file.

        Snakemake stops at such a pattern as at a missing input, and only for the jobs that need
        it. Where `output` is there it would leave it as it is instead, so then nothing is named,
        and the job itself stops if it runs. Source files that are there are never inputs:
        Snakemake would compare their times.
        """
        # Snakemake takes {…} in a name for a wildcard; the stages find these files by themselves.
        missing = [] if Path(output).exists() else self.absent
        named = [self.receipt] if self.downloads else missing
        return [pattern for pattern in named if "{" not in pattern]

    @cached_property
    def stale(self) -> dict[str, str]:
        """A line for every job whose outputs are not this configuration's, by its provenance.

        Told by content alone, whatever the times of files and Snakemake's own records say.
        """
        tables = {jobs.provenance_pattern("aggregate_seeds"): self.specs.sha256("aggregate_seeds")}
        found = provenance.faults(self.specs.of_jobs() | tables)
        if not (self.downloads and self.absent):  # what was fetched may be removed again
            for path in map(jobs.provenance_pattern, READ_SOURCES):
                if line := provenance.source_fault(path, self.sources):
                    found.setdefault(path, line)
        return found

    @cached_property
    def _of_table(self) -> set[str]:
        """Provenance of all jobs of the table."""
        return {*self.specs.of_jobs(), jobs.provenance_pattern("aggregate_seeds")}

    def table_is_current(self) -> bool:
        """Whether results/ holds the tables of this configuration, made from what is there."""
        return not self.stale

    def missing_specs(self) -> dict[str, str]:
        """Texts, by path, of the specs that are not there or hold something else.

        Those of the table's jobs, and what others were asked for.
        """
        for stage in jobs.KEYS:
            if stage not in jobs.ON_REQUEST:
                for key in self._spec_keys(stage):
                    self.specs.path(stage, key)
        self.specs.windows_path()
        texts = self.specs.texts.items()
        return {path: text for path, text in texts if not _has_text(Path(path), text)}

    def _spec_keys(self, stage: str) -> list[str | None]:
        """What the specs of a stage are of: models, caches, memories or rows; None for the one."""
        of = jobs.KEYS[stage]
        if stage == "prove_row":
            return list(self.decodable)
        kinds = {"model": self.models, "cache": self.caches, "memory": self.memories}
        return (kinds | {"row": list(self.rows)})[of[0]] if of else [None]

    def begin(self) -> None:
        """Before the first job of a run: leave the missing specs for write_specs.

        Specs that are neither this configuration's nor of any outputs that are there go. Times
        that lie in the future become now, since Snakemake fails a job whose inputs are newer than
        what it has just made.
        """
        write_json(Path(MISSING), {"specs": self.missing_specs()})
        remove_unused(self.specs.folder.rglob("*.*.json"), self.specs.texts)
        now = time.time()
        for path in Path("results").rglob("*"):
            if path.is_file() and path.stat().st_mtime > now:
                os.utime(path, (now, now))

    def end(self) -> None:
        """After a run's last job: former specs of its own jobs go, so that KEY.*.json is one."""
        remove_unused(namesakes(self.specs.texts), self.specs.texts)

    def spec(self, stage: str) -> Callable[[Any], str]:
        """Function of wildcards: path of a job's spec, whose time does not count.

        A stale job is forced to run, if it is wanted at all. A spec file whose content is not
        what its name says is deleted here, so that Snakemake has it made like a missing one: if
        it were written over, Snakemake would see no reason to run the job that reads it.
        """

        def path(wildcards: Any) -> str:
            keys = dict(wildcards.items())
            job = jobs.provenance_pattern(stage).format(**keys)
            key = jobs.spec_key(stage, keys)
            spec = self.specs.path(stage, key)
            if self.force:
                self._remove_damaged(spec)
                if self._is_stale(job, self.specs.sha256(stage, key)):
                    self.force(job)
            return ancient(spec)

        return path

    def waited_for(self, stage: str, pattern: str) -> Callable[[Any], str]:
        """Function of wildcards: path of an input whose time counts only if the job is stale.

        Snakemake leaves out a job, forced or not, if all that it has of a job that runs are
        inputs whose times do not count.
        """

        def path(wildcards: Any) -> str:
            keys = dict(wildcards.items())
            job = jobs.provenance_pattern(stage).format(**keys)
            spec = self.specs.sha256(stage, jobs.spec_key(stage, keys))
            found = pattern.format(**keys)
            return found if self.force and self._is_stale(job, spec) else ancient(found)

        return path

    def _remove_damaged(self, spec: str) -> None:
        if not _has_text(Path(spec), self.specs.texts[spec]):
            Path(spec).unlink(missing_ok=True)

    def _is_stale(self, job: str, spec: str) -> bool:
        """Whether a job must run; one that is no part of the table is compared by itself."""
        if job in self._of_table:
            return job in self.stale
        return bool(provenance.faults({job: spec}))

    def provenance(self, stage: str) -> str:
        """Where the jobs of a stage record what they read and wrote."""
        return jobs.provenance_pattern(stage)

    def write_specs_command(self, specs: str) -> str:
        """Shell text of the rule that writes missing specs."""
        return f"{self._program('write_specs')} --missing {MISSING} --specs {specs} > {{log}} 2>&1"

    def windows(self, wildcards: Any) -> list[str]:
        """Path of the windows that a new text must hold: where it is made, or they are there."""
        path = self.specs.windows_path()
        if self.force:
            self._remove_damaged(path)
        is_wanted = jobs.provenance_pattern("encode_corpus") in self.stale
        return [ancient(path)] if is_wanted or Path(path).exists() else []

    def command(self, stage: str, flags: str, printed: bool = False) -> str:
        """Shell text of a rule: the stage with its spec, and all it prints into the log.

        printed: what the stage writes to its standard output is for the terminal instead.
        """
        log = "2> {log}" if printed else "> {log} 2>&1"
        made = " --provenance {output.provenance}" if stage in jobs.KEYS else ""
        return f"{self._program(stage)} --spec {{input.spec}}{made} {flags} {log}"

    def _program(self, stage: str) -> str:
        script = os.path.relpath(self.root / "stages" / f"{stage}.py")
        return literal(shlex.join([self.python, script]))

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
        memory = self.specs.caches.get(cache, {}).get("memory")
        return [f"results/memories/{memory}.bin"] if memory else []

    def row_memory(self, row: str) -> list[str]:
        """The memory of a row's cache."""
        return self.memory(self.rows[row]["cache"])

    def swept_row(self, sweep: str) -> str:
        """The row of a sweep. Raises StageError for one that the configuration does not have."""
        return self.specs.sweep_row(sweep)["row"]

    def swept_counts(self, sweep: str) -> list[str]:
        """Count shards of all caches of a sweep: cache by cache, rank by rank."""
        names = [cache["name"] for cache in self.specs.sweep_row(sweep)["caches"]]
        return [f"results/counts/{name}/rank{rank}.npz" for name in names for rank in self.ranks]

    @property
    def submission(self) -> str:
        """The folder that is handed in."""
        who = self.config["submission"]
        return f"results/submission/{who['date'] or 'undated'}_{who['name']}"

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


def _has_text(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def missing_files(result: str, made_from: list[str]) -> list[str]:
    """Files that `result` was made from and that are gone while `result` itself is there.

    Snakemake does not rebuild these, nor say so.
    """
    if not Path(result).is_file():
        return []
    return [path for path in dict.fromkeys(made_from) if not Path(path).exists()]
