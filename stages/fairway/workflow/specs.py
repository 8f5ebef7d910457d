"""Spec files: what each kind of job depends on beside its inputs, as small JSON files.

A spec holds the settings of one stage, the hash of the code that the stage imports, and the
versions of the installed packages that this code imports. Its name holds its own hash, so that
specs of two configurations lie side by side: who reads one cannot get the other. Nothing is
written here; the rule `write_specs` makes what is missing. Used by the Snakefile only; stages
read specs through `fairway.files.spec.read_spec`.

Versions are of all imported packages, since each may change a digit (torch the weights,
SentencePiece the tokens, numba the counts, numpy the random numbers), but for those that show
progress; without what follows a `+`, so that a machine's CPU and CUDA builds are one. The shell
text of rules is in no spec: it passes files, whose content jobs record, and the keys that the
jobs are named by; what else a stage does is said by its spec.
"""

import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fairway.artifact.forecast import forecast
from fairway.closure import STAGES, code_sha256, imported_packages
from fairway.corpus.downloads import downloaded_corpus
from fairway.corpus.packages import versions_of
from fairway.corpus.windows import require_windows
from fairway.rows.entry import NONE, row_seeds
from fairway.rows.grid import axes_of, caches_of
from fairway.stage import StageError, read_json
from fairway.workflow.config import is_decodable, resolve_config
from fairway.workflow.handed_in import handed_in
from fairway.workflow.jobs import provenance_pattern, spec_key, table_jobs
from fairway.workflow.layers import read_layer
from fairway.workflow.schema import Config, nearest
from fairway.workflow.sweeps import sweep_caches

SOURCE_KEYS = {  # corpus keys that one kind of corpus reads, beside those that all do
    "docstrings": {"packages", "val_fraction", "encoding"},
    "text": {"paths", "document_separator", "val_fraction", "encoding"},
    "shards": {"train_shards", "val_shards", "val_documents", "download"},
}
DISTRIBUTIONS = {"yaml": "PyYAML"}  # what is installed under another name than it is imported by
UNVERSIONED = ("tqdm", "triton")  # computes nothing; comes with torch, if at all
NAME_DIGITS = 16  # of its hash, in a spec's name
AUDITED_KEYS = ("mass_targets", "causality_targets", "seed")  # say which targets are looked at


def corpus_settings(corpus: Config) -> Config:
    """The corpus section without keys of other kinds, and with the packages' versions.

    With `download`, the files that it brings, and which dataset they are from.
    """
    foreign = set.union(*SOURCE_KEYS.values()) - SOURCE_KEYS[corpus["kind"]]
    settings = {key: value for key, value in corpus.items() if key not in foreign}
    if corpus["kind"] == "docstrings":
        packages = map(versions_of, corpus["packages"])
        settings["versions"] = dict(found for each in packages for found in each.items())
    if settings.get("download"):
        source = {key: settings["download"][key] for key in ("repository", "revision")}
        settings |= downloaded_corpus(corpus) | {"download": source}
    return settings


@cache
def imported_version(module: str) -> str:
    """Version of the installed package that an import names, without its build; "" for none."""
    try:
        return version(DISTRIBUTIONS.get(module, module)).partition("+")[0]
    except PackageNotFoundError:  # triton, where torch has no CUDA: its kernels are not used then
        return ""


def _as_text(value: Config) -> str:
    """JSON with sorted keys, so that their order in the config does not count."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


class Specs:
    """Specs of a configuration: their paths below `folder` and their texts.

    config: a resolved one.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self.folder = config, Path(folder)
        self.corpus = corpus_settings(config["corpus"])
        self.windows = {"windows": config["windows"], "ranks": config["ranks"]}
        self.audited = {key: config["audit"][key] for key in AUDITED_KEYS}
        self.rows = {row["name"]: row for row in config["rows"]}
        self.caches = sweep_caches(config) | config["caches"]
        self.texts: dict[str, str] = {}  # by path, of all that were asked for
        self._known: dict[tuple[str, str | None], str] = {}

    def path(self, stage: str, key: str | None = None) -> str:
        """Path of the spec of `stage` (for one model, cache or row)."""
        return self._named(f"{stage}/{key}" if key else stage, self.text(stage, key))

    def text(self, stage: str, key: str | None = None) -> str:
        """Content of a spec."""
        if (stage, key) not in self._known:
            self._known[stage, key] = self._text(stage, key)
        return self._known[stage, key]

    def _text(self, stage: str, key: str | None) -> str:
        settings = getattr(self, stage)(key) if key else getattr(self, stage)()
        if stage == "fetch_corpus":  # other code or versions are no reason to fetch again
            return _as_text({"settings": settings})
        script = STAGES / f"{stage}.py"
        packages = [name for name in imported_packages(script) if name not in UNVERSIONED]
        versions = {name: imported_version(name) for name in packages}
        code = {"code": code_sha256(script), "versions": versions}
        return _as_text(code | {"settings": settings})

    def sha256(self, stage: str, key: str | None = None) -> str:
        """Hash of the spec file, as stages record it in their outputs."""
        return hashlib.sha256(self.text(stage, key).encode()).hexdigest()

    def windows_path(self) -> str:
        """Path of what encode_corpus tries on the text it makes: windows, ranks, and the claims.

        They are no part of its spec: its outputs do not depend on them, and all models on its.
        """
        claims = [name for name, row in self.rows.items() if row.get("claim")]
        return self._named("windows", _as_text({"settings": self.windows | {"claims": claims}}))

    def _named(self, name: str, text: str) -> str:
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = str(self.folder / f"{name}.{digest[:NAME_DIGITS]}.json")
        self.texts[path] = text
        return path

    def check_text(self, manifest: Path) -> None:
        """Raise StageError unless windows and ranks fit the text that a manifest describes.

        One that is not there or is to be made anew says nothing: encode_corpus checks then.
        """
        try:
            found = read_json(manifest)
            spec, targets = found["spec"], found["val"]["targets"]
        except (StageError, KeyError, TypeError):
            return  # a damaged one is refused by the jobs that need it
        if spec != self.sha256("encode_corpus"):
            return
        try:
            require_windows(targets, self.windows)
        except StageError as error:
            raise StageError(
                f"{error} ({manifest}; if the text has changed, delete it and run again)"
            ) from None

    # The settings of each stage, by the stage's name.

    def estimate(self) -> Config:
        return self.config

    def fetch_corpus(self) -> Config:
        corpus = self.config["corpus"]
        return {key: corpus[key] for key in ("vocabulary", "download")}

    def train_tokenizer(self) -> Config:
        return self.corpus

    def encode_corpus(self) -> Config:
        return self.corpus

    def train_model(self, model: str) -> Config:
        sections = self.config["models"][model]
        return {
            "architecture": sections["architecture"],
            "training": sections["training"],
            "vocabulary": self.config["corpus"]["vocabulary"],
        }

    def quantize_model(self, model: str) -> Config:
        sections = self.config["models"][model]
        quantization = sections["quantization"]
        filled = quantization["packed_bytes"] is not None
        return quantization | {"compressor": sections["packing"]["compressor"] if filled else None}

    def pack_artifact(self, model: str) -> Config:
        sections, limits = self.config["models"][model], self.config["limits"]
        size = forecast(sections, self.config["corpus"]["vocabulary"])
        expected = {"forecast": {"low": size.low, "expected": size.expected, "high": size.high}}
        return sections["packing"] | {"artifact_bytes": limits["artifact_bytes"]} | expected

    def score_targets(self, model: str) -> Config:
        return self.config["models"][model]["scoring"] | self.windows

    def pack_memory(self, memory: str) -> Config:
        limit = {"artifact_bytes": self.config["limits"]["artifact_bytes"]}
        return {"memory": memory} | self.config["memories"][memory] | limit

    def count_ngrams(self, cache: str) -> Config:
        return self.windows | {"cache_settings": self._cache(cache)}

    def _cache(self, cache: str) -> Config | None:
        """Settings of a cache, with those of its memory; None for the cache of a row of none."""
        if cache == NONE:
            return None
        settings = self.caches[cache]
        if settings["memory"] is None:
            return settings
        return settings | {"memory_settings": self.config["memories"][settings["memory"]]}

    def audit_model(self, model: str) -> Config:
        return self.score_targets(model) | {"audit": self.audited}

    def audit_cache(self, cache: str) -> Config:
        return self.count_ngrams(cache) | {"audit": self.audited}

    def mix_scores(self, row: str) -> Config:
        return self._row(row) | {"audit": self.audited}

    def _row(self, row: str) -> Config:
        entry = self.rows[row]
        return self.windows | {
            "row": row,
            "model": None if entry["model"] == NONE else entry["model"],
            "cache": entry["cache"],
            "cache_settings": self._cache(entry["cache"]),
            "gate": self.config["gates"].get(entry["gate"]),
            "vocabulary": self.config["corpus"]["vocabulary"],
        }

    def audit_row(self, row: str) -> Config:
        seeds = row_seeds(self.config, self.rows[row])
        claim = {"claim": self.rows[row].get("claim"), "seeds": seeds}
        return self._row(row) | claim | {"audit": self.config["audit"]}

    def pack_row(self, row: str) -> Config:
        limit = {"artifact_bytes": self.config["limits"]["artifact_bytes"]}
        return self._row(row) | self._of_row(self.rows[row]) | limit

    def prove_row(self, row: str) -> Config:
        seed = {"seed": row_seeds(self.config, self.rows[row])[0]}  # whose artifact it is
        return self._row(row) | seed | {"proof": self.config["proof"]}

    def sweep_row(self, sweep: str) -> Config:
        entry = self._sweep(sweep)
        row = self._row(entry["row"])
        axes = axes_of(entry)
        caches = caches_of(self.config["caches"], row["cache"], axes)
        return row | {
            "sweep": sweep,
            "split": entry["split"],
            "seed": row_seeds(self.config, self.rows[entry["row"]])[0],
            "axes": [axis._asdict() for axis in axes],
            "caches": [cache._asdict() for cache in caches],
            "audit": self.audited,
        }

    def _sweep(self, sweep: str) -> Config:
        if sweep not in self.config["sweeps"]:
            raise StageError(
                f"config key `sweeps.{sweep}`: not there; "
                f"{nearest(sweep, list(self.config['sweeps']))}"
            )
        return self.config["sweeps"][sweep]

    def write_report(self) -> Config:
        """The whole configuration, and the default one that it is compared with."""
        root = STAGES.parent
        default = resolve_config(read_layer(root / "config.yaml"), root / "config" / "schema.yaml")
        return {"config": self.config, "default": default}

    def write_submission(self) -> Config:
        return handed_in(self)

    def aggregate_seeds(self) -> Config:
        """The rows in order, and the specs under which all jobs must have run."""
        names = ("name", "model", "cache", "gate")
        return {
            "seeds": self.config["seeds"],
            "ranks": self.config["ranks"],
            "limits": self.config["limits"],
            "references": self.config["references"],
            "rows": [
                {key: row[key] for key in names} | self._of_row(row) for row in self.config["rows"]
            ],
            "jobs": self.of_jobs(),
        }

    def _of_row(self, row: Config) -> Config:
        return {
            "memory": self.config["caches"].get(row["cache"], {}).get("memory"),
            "seeds": row_seeds(self.config, row),
            "decodable": is_decodable(self.config, row),
        }

    def of_jobs(self) -> dict[str, str]:
        """Hash of the spec of every job before the aggregation, by path of its provenance."""
        hashes: dict[tuple[str, str | None], str] = {}
        found = {}
        for stage, keys in table_jobs(self.config):
            of = stage, spec_key(stage, keys)
            if of not in hashes:
                hashes[of] = self.sha256(*of)
            found[provenance_pattern(stage).format(**keys)] = hashes[of]
        return found
