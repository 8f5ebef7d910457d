"""The settings of every stage: a valid spec of each, how it is read, and what is made of it.

What a stage makes of its settings before it computes anything is done here too, so that a fuzzer
sees all of the lines that can come of a spec.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import aggregate_seeds
import audit_cache
import audit_model
import audit_row
import codec
import count_ngrams
import encode_corpus
import fetch_corpus
import mix_scores
import pack_artifact
import pack_memory
import pack_row
import prove_row
import quantize_model
import score_targets
import sweep_row
import train_model
import train_tokenizer
import write_report
import write_submission
from fairway.artifact.sizes import model_sizes
from fairway.codec.prediction import require_row
from fairway.corpus.documents import source_files
from fairway.corpus.downloads import download_places
from fairway.corpus.windows import WindowPlan, require_windows
from fairway.counting.settings import CacheSettings, MemorySettings
from fairway.files.spec import read_spec
from fairway.model.architecture import ModelConfig
from fairway.rows.gate import row_gate
from fairway.training.settings import TrainingSettings
from fairway.workflow.config import checked_config, resolve_config, used
from fairway.workflow.estimation import CorpusSizes, as_markdown, estimate
from fairway.workflow.layers import put_together
from fairway.workflow.specs import Specs
from support.configs import ROOT, SCHEMA, read

TARGETS = 10_000
KINDS: dict[str, type] = {
    "aggregate_seeds": aggregate_seeds.TableSettings,
    "audit_cache": audit_cache.AuditedCache,
    "audit_model": audit_model.AuditedModel,
    "audit_row": audit_row.AuditedRow,
    "codec": codec.RowOfAnyJob,
    "count_ngrams": count_ngrams.CountSettings,
    "encode_corpus": encode_corpus.CorpusSettings,
    "estimate": dict,
    "fetch_corpus": fetch_corpus.FetchSettings,
    "mix_scores": mix_scores.MixedRow,
    "pack_artifact": pack_artifact.PackingSettings,
    "pack_memory": pack_memory.PackedMemory,
    "pack_row": pack_row.PackedRow,
    "prove_row": prove_row.ProvenRow,
    "quantize_model": quantize_model.QuantizationSettings,
    "score_targets": score_targets.ScoringSettings,
    "sweep_row": sweep_row.SweptRow,
    "train_model": train_model.ModelSettings,
    "train_tokenizer": train_tokenizer.CorpusSettings,
    "windows": encode_corpus.TriedWindows,
    "write_report": write_report.Configurations,
    "write_submission": write_submission.SubmissionSettings,
}
OF = {  # what the spec of a stage is of
    **dict.fromkeys(("audit_cache", "count_ngrams"), "exact15_memory"),
    **dict.fromkeys(("audit_row", "mix_scores", "pack_row", "prove_row"), "exact15_bayes_memory"),
    **dict.fromkeys(
        ("audit_model", "pack_artifact", "quantize_model", "score_targets", "train_model"), "ebls"
    ),
    "pack_memory": "training",
    "sweep_row": "buckets",
}


@cache
def texts() -> dict[str, str]:
    """A valid spec of every stage, by its name, as JSON."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    specs = Specs(resolve_config(config, SCHEMA), Path("specs"))
    record, download = (
        Specs(resolve_config(put_together([config, *map(read, names)]), SCHEMA), Path("specs"))
        for names in (["fineweb"], ["fineweb", "download"])
    )
    stages = KINDS.keys() - {"codec", "windows", "estimate", "fetch_corpus"}
    found = {stage: specs.text(stage, OF.get(stage)) for stage in stages}
    found["codec"] = found["mix_scores"]
    found["windows"] = specs.texts[specs.windows_path()]
    found["estimate"] = record.text("estimate")
    found["fetch_corpus"] = download.text("fetch_corpus")
    return found


def read_and_use(stage: str, path: Path) -> None:
    """Read a stage's spec and make of it what the stage makes of it first."""
    settings = read_spec(path, KINDS[stage]).settings
    use = _USES.get(stage, _of_row if "gate" in settings else _windows)
    use(settings)


def _windows(settings: Any) -> None:
    if "windows" in settings:
        require_windows(TARGETS, settings)


def _counted(settings: Any) -> None:
    CacheSettings.from_settings(settings["cache_settings"])
    require_windows(TARGETS, settings)


def _of_row(settings: Any) -> None:
    row_gate(settings["gate"], settings["cache_settings"])
    if settings["cache_settings"]:
        CacheSettings.from_settings(settings["cache_settings"])
    WindowPlan(TARGETS, **settings["windows"]).rank_windows(0, settings["ranks"])


def _swept(settings: Any) -> None:
    sweep_row.require_sweep(settings)
    _of_row(settings)


def _trained(settings: Any) -> None:
    config = ModelConfig.from_settings(settings["architecture"], settings["vocabulary"])
    TrainingSettings.from_settings(settings["training"]).require_context(config.rope_context)


def _estimated(settings: Any) -> None:
    config = checked_config(settings, "spec")
    vocabulary = config["corpus"]["vocabulary"]
    models = {
        name: model_sizes(config["models"][name], vocabulary) for name in used(config, "model")
    }
    sizes = CorpusSizes(*config["estimates"]["tokens"].values(), "")
    as_markdown(estimate(config, sizes, models), sizes)


def _reported(settings: Any) -> None:
    for config in settings.values():
        checked_config(config, "spec")


def _handed_in(settings: Any) -> None:
    for script in settings["rows"].values():
        write_submission.require_model(script["stages"]["train_model"])


_USES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("audit_cache", "count_ngrams"), _counted),
    **dict.fromkeys(("train_tokenizer", "encode_corpus"), source_files),
    "codec": require_row,
    "estimate": _estimated,
    "fetch_corpus": lambda settings: settings["download"] and download_places(settings),
    "pack_memory": MemorySettings.from_settings,
    "sweep_row": _swept,
    "train_model": _trained,
    "write_report": _reported,
    "write_submission": _handed_in,
}
