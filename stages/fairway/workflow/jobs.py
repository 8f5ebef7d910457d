"""All jobs of a configuration, by stage and keys, and where their provenance lies."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from fairway.rows.entry import row_seeds
from fairway.workflow.config import is_decodable, used, used_memories

Config = dict[str, Any]
FOLDER = "results/provenance"
KEYS: dict[str, tuple[str, ...]] = {  # what tells a stage's jobs apart; its spec is of the first
    "train_tokenizer": (),
    "encode_corpus": (),
    "train_model": ("model", "seed"),
    "quantize_model": ("model", "seed"),
    "pack_artifact": ("model", "seed"),
    "audit_model": ("model", "seed"),
    "score_targets": ("model", "seed", "rank"),
    "pack_memory": ("memory",),
    "count_ngrams": ("cache",),
    "audit_cache": ("cache",),
    "pack_row": ("row",),
    "mix_scores": ("row", "seed"),
    "audit_row": ("row",),
    "prove_row": ("row",),
    "aggregate_seeds": (),
    "sweep_row": ("sweep",),
    "write_report": (),
    "write_submission": (),
}
ON_REQUEST = ("sweep_row", "write_report", "write_submission")  # not part of the table
_PREFIXES = {"seed": "seed", "rank": "rank"}  # a name's other parts are names themselves


def provenance_pattern(stage: str) -> str:
    """Path of the provenance of a stage's jobs, with their keys as wildcards."""
    name = ".".join(f"{_PREFIXES.get(key, '')}{{{key}}}" for key in KEYS[stage])
    return f"{FOLDER}/{stage}/{name}.json" if name else f"{FOLDER}/{stage}.json"


def spec_key(stage: str, wildcards: Mapping[str, Any]) -> str | None:
    """The model, cache, memory or row that a job's spec is of; None if the stage has one spec."""
    return wildcards[KEYS[stage][0]] if KEYS[stage] else None


def decodable(config: Config) -> list[str]:
    """Rows whose score is proven by decoding."""
    return [row["name"] for row in config["rows"] if is_decodable(config, row)]


def table_jobs(config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stage and keys of every job that the table is made from, aggregation not included."""
    values = {
        "model": used(config, "model"),
        "cache": used(config, "cache"),
        "memory": used_memories(config),
        "row": [row["name"] for row in config["rows"]],
        "seed": config["seeds"],
        "rank": range(config["ranks"]),
    }
    seeds = {row["name"]: row_seeds(config, row) for row in config["rows"]}
    for stage, keys in KEYS.items():
        if stage in ("aggregate_seeds", *ON_REQUEST):
            continue
        if stage == "mix_scores":
            combinations = [(row, seed) for row in seeds for seed in seeds[row]]
        else:
            of_stage = values | ({"row": decodable(config)} if stage == "prove_row" else {})
            combinations = product(*(of_stage[key] for key in keys))
        for combination in combinations:
            yield stage, dict(zip(keys, combination, strict=True))
