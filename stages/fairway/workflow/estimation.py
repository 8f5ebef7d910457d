"""What a configuration will cost, before anything has run: jobs, hours and disk by rule.

A job takes its rule's `seconds` and its size over `per_second`, both from the configuration's
`estimates`, where it is said how each was found. Sizes follow from the configuration, by rule:

    fetch_corpus    bytes
    encode_corpus   tokens of training and validation
    train_model     steps, or what max_seconds leaves of them
    quantize_model  calibration tokens, and 2.5 for each whose gradients a search for bits takes
    pack_artifact   parameters
    score_targets   targets
    pack_memory     tokens of training
    count_ngrams    targets, with the memory's, × orders
    mix_scores      counts read: targets, × orders where the cache gives every order
    audit_model     windows
    audit_cache     targets × orders × counts made
    prove_row       bytes
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fairway.artifact.settings import StepSettings
from fairway.model.architecture import ModelSizes
from fairway.rows.entry import row_seeds
from fairway.stage import StageError
from fairway.workflow.config import is_decodable, used, used_memories

COUNTING_THREADS = 2  # of count_ngrams and audit_cache, also where rules say it
SCORE_BYTES = 8  # per target: nll and entropy, float32
COUNT_BYTES = {"match": 9, "orders": 31}  # per target; orders: measured, 10 M tokens of English
TEXT_BYTES = 2.44  # per target; measured, English at a vocabulary of 1,024
MEMORY_BYTES = 0.46  # per token of a packed memory; measured, docstrings (LZMA)
GRADIENT_COST = 2.5  # tokens that are read in the time of one's gradients; measured, default model
RESUME_COPIES = 4  # of the weights: themselves, momentum, EMA, SWA


@dataclass(frozen=True)
class CorpusSizes:
    """Tokens of the two sides; source: where the numbers are from."""

    train_tokens: int
    val_tokens: int
    source: str

    @property
    def targets(self) -> int:
        """Validation tokens that are scored."""
        return self.val_tokens - 1


@dataclass(frozen=True)
class Job:
    """One job: its size in its rule's unit, seconds at most, devices, bytes it leaves on disk."""

    rule: str
    size: float = 0.0
    cap: float | None = None
    gpus: int = 0
    cpus: int = 1
    disk: int = 0


@dataclass
class RuleCost:
    """The jobs of one rule together; longest: seconds of the longest; source: of its speed."""

    rule: str
    source: str
    jobs: int = 0
    longest: float = 0.0
    gpu_seconds: float = 0.0
    cpu_seconds: float = 0.0
    disk: int = 0


@dataclass(frozen=True)
class Estimate:
    """Costs by rule, in the order of the data, and what a training holds to resume from."""

    rules: list[RuleCost]
    resume_bytes: int


def planned_jobs(
    config: Mapping[str, Any], corpus: CorpusSizes, models: Mapping[str, ModelSizes]
) -> Iterator[Job]:
    """Every job of a configuration, in the order of the data.

    config: resolved; models: sizes of the models that its rows use.
    """
    yield from _corpus_jobs(config["corpus"], corpus)
    for _seed in config["seeds"]:
        for name, sizes in models.items():
            yield from _model_jobs(config, config["models"][name], sizes, corpus.targets)
    for name in used_memories(config):
        tokens = _memory_tokens(config["memories"][name], corpus)
        yield Job("pack_memory", tokens, disk=int(MEMORY_BYTES * tokens))
    for cache in (config["caches"][name] for name in used(config, "cache")):
        disk = COUNT_BYTES[cache["output"]] * corpus.targets
        memory = config["memories"].get(cache["memory"])
        tokens = _memory_tokens(memory, corpus) if memory else 0
        size = (tokens + corpus.targets) * _orders(cache)
        yield Job("count_ngrams", size, cpus=COUNTING_THREADS, disk=disk)
        times = 2 + config["audit"]["causality_targets"]  # for the vocabulary, and when changed
        yield Job("audit_cache", size * times, cpus=COUNTING_THREADS)
    for row in config["rows"]:
        cache = config["caches"].get(row["cache"])
        every_order = cache is not None and cache["output"] == "orders"
        for _seed in row_seeds(config, row):
            yield Job("mix_scores", corpus.targets * (_orders(cache) if every_order else 1))
    for _row in config["rows"]:
        yield Job("pack_row")
        yield Job("audit_row")
    for row in config["rows"]:
        if is_decodable(config, row):
            wanted, text = config["proof"]["bytes"], int(TEXT_BYTES * corpus.targets)
            yield Job("prove_row", text if wanted == "all" else min(wanted, text))
    yield Job("aggregate_seeds")


def memory_bytes(memory: Mapping[str, Any], corpus: CorpusSizes | None) -> int | None:
    """Expected bytes of a memory's file; None if that hangs on a text that is not known."""
    if corpus is not None:
        return int(MEMORY_BYTES * _memory_tokens(memory, corpus))
    each = {"tokens": MEMORY_BYTES, "bytes": 1.0}.get(memory["budget"])
    return None if each is None else int(each * memory["size"])


def _memory_tokens(memory: Mapping[str, Any], corpus: CorpusSizes) -> float:
    """Tokens that a memory holds at most."""
    each = {"tokens": 1.0, "bytes": 1 / MEMORY_BYTES}.get(memory["budget"], float("inf"))
    return min(corpus.train_tokens, each * (memory["size"] or 1))


def _orders(cache: Mapping[str, Any]) -> int:
    return cache["max_order"] - cache["min_order"] + 1


def _corpus_jobs(settings: Mapping[str, Any], corpus: CorpusSizes) -> Iterator[Job]:
    tokens = corpus.train_tokens + corpus.val_tokens
    given = settings["kind"] == "shards"
    if given and settings["download"]:
        yield Job("fetch_corpus", 2 * tokens, disk=2 * tokens)
    yield Job("train_tokenizer")
    # val.bin, val_bytes.npy and val_text.bin, 2 to 3 bytes a token
    disk = 2 * corpus.val_tokens + 5 * corpus.targets
    disk += 0 if given else 2 * corpus.train_tokens
    yield Job("encode_corpus", tokens, disk=disk)


def _model_jobs(
    config: Mapping[str, Any], model: Mapping[str, Any], sizes: ModelSizes, targets: int
) -> Iterator[Job]:
    """Jobs of one model and seed."""
    training, quantization = model["training"], model["quantization"]
    yield Job(
        "train_model",
        training["steps"],
        training["max_seconds"],
        disk=sizes.checkpoint,
        **_devices(training),
    )
    yield Job(
        "quantize_model",
        _quantizing_tokens(model),
        disk=sizes.quantized,
        **_devices(quantization),
    )
    artifact = min(sizes.quantized, config["limits"]["artifact_bytes"])
    yield Job("pack_artifact", sizes.parameters, disk=artifact)
    yield Job("audit_model", _audited_windows(config), **_devices(model["scoring"]))
    ranks = config["ranks"]
    for _rank in range(ranks):
        share = targets / ranks
        yield Job(
            "score_targets", share, disk=int(SCORE_BYTES * share), **_devices(model["scoring"])
        )


def _quantizing_tokens(model: Mapping[str, Any]) -> float:
    """Calibration tokens that are read; with their gradients, as many as take as long."""
    tokens = model["quantization"]["calibration_tokens"]
    if not StepSettings.from_settings(model["quantization"]).searched:
        return tokens
    return tokens + GRADIENT_COST * min(tokens, model["quantization"]["gradient_tokens"])


def _audited_windows(config: Mapping[str, Any]) -> int:
    """Windows that audit_model runs: one per sampled target; where one is changed, all with it."""
    windows, audit = config["windows"], config["audit"]
    holding = 2 * windows["length"] // windows["stride"]
    return audit["mass_targets"] + audit["causality_targets"] * holding


def _devices(section: Mapping[str, Any]) -> dict[str, int]:
    processes = section.get("world_size", 1)
    on_gpu = section["device"] == "cuda"
    return {"gpus": processes if on_gpu else 0, "cpus": section["threads"] * processes}


def estimate(
    config: Mapping[str, Any], corpus: CorpusSizes, models: Mapping[str, ModelSizes]
) -> Estimate:
    """Costs of a configuration. Raises StageError if a rule's speed is not declared."""
    costs: dict[str, RuleCost] = {}
    speeds = config["estimates"]["rules"]
    for job in planned_jobs(config, corpus, models):
        if job.rule not in speeds:
            raise StageError(f"config key `estimates.rules.{job.rule}`: missing")
        speed = speeds[job.rule]
        working = job.size / speed["per_second"] if speed["per_second"] else 0.0
        seconds = speed["seconds"] + min(working, job.cap or working)
        cost = costs.setdefault(job.rule, RuleCost(job.rule, speed["source"]))
        cost.jobs += 1
        cost.longest = max(cost.longest, seconds)
        cost.gpu_seconds += job.gpus * seconds
        cost.cpu_seconds += job.cpus * seconds
        cost.disk += job.disk
    resumed = (
        sizes.checkpoint
        for name, sizes in models.items()
        if config["models"][name]["training"]["checkpoint_every"]
    )
    return Estimate(list(costs.values()), RESUME_COPIES * max(resumed, default=0))


def as_markdown(found: Estimate, corpus: CorpusSizes) -> str:
    """The estimate as a table with totals and notes."""
    lines = [
        "| rule | jobs | longest | GPU-hours | CPU-hours | disk | speed |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for cost in found.rules:
        lines.append(
            f"| {cost.rule} | {cost.jobs} | {duration(cost.longest)} | "
            f"{cost.gpu_seconds / 3600:.2f} | {cost.cpu_seconds / 3600:.2f} | "
            f"{megabytes(cost.disk)} | {cost.source} |"
        )
    gpu_hours = sum(cost.gpu_seconds for cost in found.rules) / 3600
    cpu_hours = sum(cost.cpu_seconds for cost in found.rules) / 3600
    disk = sum(cost.disk for cost in found.rules)
    lines.append(
        f"| **total** | {sum(cost.jobs for cost in found.rules)} | | {gpu_hours:.2f} | "
        f"{cpu_hours:.2f} | {megabytes(disk)} | |"
    )
    lines += [
        "",
        f"{corpus.train_tokens:,} training and {corpus.val_tokens:,} validation tokens "
        f"({corpus.source}).",
    ]
    if found.resume_bytes:
        lines[-1] += (
            f" Beside the files above, each training holds up to {megabytes(found.resume_bytes)} "
            "to resume from while it runs."
        )
    return "\n".join(lines) + "\n"


def duration(seconds: float) -> str:
    """Seconds, or minutes from two minutes on."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def megabytes(size: int) -> str:
    """Bytes as MB, or GB from 10 GB on; powers of ten."""
    return f"{size / 1e6:,.1f} MB" if size < 1e10 else f"{size / 1e9:,.1f} GB"
