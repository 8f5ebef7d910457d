"""The files of the folder that is handed in, made from a finished run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairway.corpus.manifest import Manifest
from fairway.stage import StageError, read_json, require_file
from fairway.submission import log_lines
from fairway.submission.finished import FinishedRow
from fairway.submission.record import SeedResult, Submission
from fairway.tables.metrics import read_metrics

SCRIPT, RECORD = "train_gpt.py", "submission.json"
WHO = ("author", "github_id", "date")  # what only the person who hands in can say


def log_name(seed: int) -> str:
    """Of the log of one seed."""
    return f"train_seed{seed}.log"


def requirements(pinned: Path, packages: set[str]) -> str:
    """Lines of a requirements.txt for these packages, of those that another one pins.

    What it does not pin comes with what it does.
    """
    lines = require_file(pinned).read_text().splitlines()
    kept = [line for line in lines if line.partition("==")[0].strip() in packages]
    return "".join(f"{line}\n" for line in kept)


def log(row: FinishedRow, seed: int, entry: dict[str, Any], code_bytes: int) -> Iterator[str]:
    """The lines that train_gpt.py prints for a seed, of what the run's own jobs recorded.

    entry: the row's settings and those of its stages, as the script has them.
    """
    training = entry["stages"]["train_model"]["training"]
    found = read_metrics(row.model_file(seed, "metrics.jsonl"))
    yield from log_lines.head(seed, f"seed{seed}", training["world_size"], training)
    for line in found.steps:
        yield log_lines.step(line, training["steps"])
    yield from log_lines.trained(found.done, training["steps"])
    yield from log_lines.sizes(
        log_lines.Sizes(
            require_file(row.model_file(seed, "checkpoint.safetensors")).stat().st_size,
            *(row.network_bytes(seed), row.memory_bytes, code_bytes),
            entry["stages"]["pack_artifact"]["compressor"],
        )
    )
    cache, scored = entry["row"]["cache_settings"], row.seeds.loc[seed]
    yield from log_lines.cache(cache)
    score = scored["nats"], scored["targets"], scored["bpb"], scored["eval_seconds"]
    yield from log_lines.result(log_lines.label(cache), *score)


def record(row: FinishedRow, who: dict[str, Any], code_bytes: int) -> Submission:
    """submission.json of a row. who: the config's section; StageError where it says nothing."""
    for key in WHO:
        if who[key] is None:
            raise StageError(f"config key `submission.{key}`: null; expected yours")
    seeds = list(map(int, row.seeds.index))
    std = row.summary["bpb_std"]
    return Submission(
        **{key: who[key] for key in ("name", "author", "github_id", "date", "blurb")},
        val_bpb=float(row.summary["bpb_mean"]),
        val_bpb_std=float(std) if std == std else None,
        bytes_total=max(row.model_bytes(seed) for seed in seeds) + code_bytes,
        row=row.row,
        seeds=tuple(seeds),
        seed_results={str(seed): _result(row, seed, code_bytes) for seed in seeds},
    )


def _result(row: FinishedRow, seed: int, code_bytes: int) -> SeedResult:
    scored = row.seeds.loc[seed]
    done = read_metrics(row.model_file(seed, "metrics.jsonl")).done
    return SeedResult(
        val_loss=row.val_loss(seed),
        val_bpb=float(scored["bpb"]),
        artifact_bytes=row.model_bytes(seed) + code_bytes,
        steps=done.steps,
        step_avg_ms=round(1e3 * done.seconds / max(done.steps, 1), 3),
        eval_time_s=round(float(scored["eval_seconds"]), 3),
    )


def readme(row: FinishedRow, found: Submission, limits: dict[str, Any], code_bytes: int) -> str:
    """README.md of the folder: scores, the ladder they stand in, how to run, what is kept."""
    parts = [
        f"# {found.name}: {found.val_bpb:.4f} bits per byte",
        found.blurb,
        _scores(row, found),
        "## Ablation",
        (row.results / "ablation.md").read_text().strip(),
        "## Running it",
        _running(found),
        "## Compliance",
        _compliance(row, found, limits, code_bytes),
    ]
    return "\n\n".join(parts) + "\n"


def _scores(row: FinishedRow, found: Submission) -> str:
    lines = [
        "| seed | val_bpb | val_loss | bytes in all | steps | ms a step | evaluation, s |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for seed, result in found.seed_results.items():
        lines.append(
            f"| {seed} | {result.val_bpb:.8f} | {result.val_loss:.8f} | "
            f"{result.artifact_bytes:,} | {result.steps} | {result.step_avg_ms:.1f} | "
            f"{result.eval_time_s:.1f} |"
        )
    spread = "" if found.val_bpb_std is None else f" (standard deviation {found.val_bpb_std:.4f})"
    lines += ["", f"Mean {found.val_bpb:.8f}{spread}; the row `{row.row}` below."]
    return "\n".join(lines)


def _running(found: Submission) -> str:
    return "\n".join(
        [
            "```sh",
            "pip install -r requirements.txt",
            "# shards as fineweb_train_*.bin and fineweb_val_*.bin, or train.bin and val.bin",
            "export DATA_PATH=./data/datasets/fineweb10B_sp1024",
            "export TOKENIZER_PATH=./data/tokenizers/fineweb_1024_bpe.model",
            f"SEED={found.seeds[0]} torchrun --standalone --nproc_per_node=8 train_gpt.py",
            f"SEED={found.seeds[0]} python train_gpt.py    # one process, also on a CPU",
            "```",
            "",
            "train_gpt.py is Fairway's own source without comments, packed (LZMA, base 85) behind "
            "a loader, which unpacks it into ~/.cache/fairway, where it can be read. The "
            "logs are what the pipeline's jobs recorded, in the lines that the script prints.",
        ]
    )


def _compliance(
    row: FinishedRow, found: Submission, limits: dict[str, Any], code_bytes: int
) -> str:
    """The contest's rules, one a line, each with what was measured."""
    held = [*_limits(row, found, limits, code_bytes), *_conditions(row), *_decoded(row)]
    overlap = Manifest.load(row.results / "corpus" / "manifest.json").overlap
    words = f"; {overlap.in_words()}" if overlap else ""
    held.append((True, f"calibrated on training text, which a memory is of as well{words}"))
    return "\n".join(f"- [{'x' if ok else ' '}] {words}" for ok, words in held)


def _limits(
    row: FinishedRow, found: Submission, limits: dict[str, Any], code_bytes: int
) -> Iterator[tuple[bool, str]]:
    most = limits["artifact_bytes"]
    yield (
        found.bytes_total < most,
        f"{found.bytes_total:,} bytes in all, below {most:,}: "
        f"{found.bytes_total - code_bytes:,} of model and memory, {code_bytes:,} of code "
        "(installed packages are not counted)",
    )
    for key, what in (("train", "training, quantising and packing"), ("eval", "evaluation")):
        seconds, limit = row.summary[f"{key}_seconds_max"], limits[f"{key}_seconds"]
        yield seconds <= limit, f"{what}: {seconds:.1f} s of {limit}, on the machine of the run"


def _conditions(row: FinishedRow) -> Iterator[tuple[bool, str]]:
    """What makes a score a code length, as the row's audit found it."""
    checks = read_json(row.folder / "audit.json")["checks"]
    causal, mass, state = (checks[key] for key in ("causal", "normalised", "score_before_update"))
    once, null = checks["once_each"], checks["null_stream"]
    moved = ", ".join(causal["broken"]) or "none"
    yield (
        causal["ok"],
        f"C1, prefix only: {len(causal['targets'])} targets changed with all behind them; parts "
        f"in which anything before them moved: {moved}",
    )
    yield (
        mass["ok"],
        f"C2, a distribution: total mass from 1 by at most {mass['max_deviation']:.1e} at "
        f"{mass['targets_sampled']} targets",
    )
    yield (
        state["ok"],
        f"C3, score before update: {state['states_checked']} states hashed before and after",
    )
    yield once["ok"], f"C4, one pass: {once['targets']:,} targets, each scored once"
    bits = f"{null['bits_per_token']:.4f} bits, floor {null['floor_bits']:.4f}"
    yield null["ok"], f"random tokens cost {bits}"
    yield bool(row.summary["is_code_length"]), "the score is a code length"


def _decoded(row: FinishedRow) -> Iterator[tuple[bool, str]]:
    path = row.folder / "proof.json"
    if path.is_file():
        proof = read_json(path)
        yield (
            proof["decoded"],
            f"{proof['bytes']:,} bytes decoded in a fresh process from {proof['file_bits']:,} "
            f"bits; {proof['claimed_bits']:,.0f} are claimed for them",
        )


def files(
    row: FinishedRow,
    who: dict[str, Any],
    entry: dict[str, Any],
    limits: dict[str, Any],
    code: bytes,
) -> dict[str, bytes]:
    """All files but requirements.txt, by name.

    who: the config's `submission`; entry: the row's settings and those of its stages; code: of
    train_gpt.py.
    """
    found = record(row, who, len(code))
    made = {
        SCRIPT: code,
        RECORD: (json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n").encode(),
        "README.md": readme(row, found, limits, len(code)).encode(),
    }
    for seed in found.seeds:
        lines = log(row, seed, entry, len(code))
        made[log_name(seed)] = "".join(f"{line}\n" for line in lines).encode()
    return made
