"""A finished run of two seeds as small files, made up, and the folder that is handed in of it."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from fairway.corpus.manifest import (
    Manifest,
    Overlap,
    ShardFile,
    TokenizerFile,
    TrainText,
    ValText,
)
from fairway.json_text import sealed
from fairway.stage import sha256_of
from fairway.submission.finished import FinishedRow
from fairway.submission.folder import files

ROW, SEEDS, CODE = "exact", (1, 2), b"print('a script')\n"
LIMITS = {"artifact_bytes": 16_000_000, "train_seconds": 600, "eval_seconds": 600}
WHO = {
    "row": None,
    "name": "Made_up",
    "author": "Ada",
    "github_id": "ada",
    "date": "2026-04-30",
    "blurb": "A sentence.",
    "allow_invalid": False,
}
ENTRY = {
    "row": {"cache_settings": {"kind": "exact", "min_order": 2, "max_order": 7, "memory": "t"}},
    "stages": {
        "train_model": {
            "training": {
                "world_size": 1,
                "batch_tokens": 256,
                "sequence": 32,
                "steps": 20,
                "warmup_steps": 0,
                "max_seconds": None,
            }
        },
        "pack_artifact": {"compressor": "lzma"},
    },
}
SETTINGS = {"submission": WHO, "limits": LIMITS, "rows": {ROW: ENTRY, "hashed": ENTRY}}
AUDIT = {
    "checks": {
        "causal": {"ok": True, "targets": [5], "broken": []},
        "normalised": {"ok": True, "max_deviation": 1e-15, "targets_sampled": 8},
        "score_before_update": {"ok": True, "states_checked": 6},
        "once_each": {"ok": True, "targets": 1000},
        "null_stream": {"ok": True, "bits_per_token": 10.0006, "floor_bits": 10.0},
    }
}


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sealed(json.dumps(value)))


def write_manifest(folder: Path) -> None:
    folder.mkdir(parents=True)
    known = "s", "text", 512, TokenizerFile("t", ""), TrainText(1, 9, (ShardFile("a", 9, ""),))
    val = ValText(1, 9, 8, 8, None, "decoded", "v", "", "", "")
    Manifest(*known, val, folder, Overlap(20, 100, 23, 9, 3, 0, ())).save(folder / "manifest.json")


def write_run(results: Path) -> None:
    """Three rows: one without a model, one that is no code length, and one that is."""
    scores = {"hashed": (0.8, 0.9), ROW: (1.4, 1.5)}
    lines, summary = [], [{"row": "memory", "model": "none", "bpb_mean": 1.0, "bpb_std": math.nan}]
    for row, found in scores.items():
        mean, std = sum(found) / 2, float(pd.Series(found).std())
        line = {"row": row, "model": "m", "bpb_mean": mean, "bpb_std": std}
        summary.append(line)
        for seed, bpb in zip(SEEDS, found, strict=True):
            nats = bpb * math.log(2) * 3000
            sums = {"row": row, "seed": seed, "bpb": bpb, "nats": nats, "targets": 1000}
            lines.append(sums | {"eval_seconds": 2.5})
    for line in summary:
        line["is_code_length"] = line["row"] != "hashed"
        line |= {"train_seconds_max": 20.5, "eval_seconds_max": 2.5}
    results.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(lines).to_csv(results / "seeds.csv", index=False)
    pd.DataFrame(summary).to_csv(results / "summary.csv", index=False)
    (results / "ablation.md").write_text("| row | BPB |\n|---|--:|\n")
    write_manifest(results / "corpus")
    memory = results / "memories" / "t.bin"
    memory.parent.mkdir()
    memory.write_bytes(b"m" * 500)
    for seed in SEEDS:
        folder = results / "models" / "m" / f"seed{seed}"
        step = {"step": 10, "loss": 6.5, "seconds": 1.25, "lr_scale": 1.0, "tokens_per_second": 9}
        done = {"event": "done", "steps": 20, "seconds": 2.5, "parameters": 99}
        folder.mkdir(parents=True)
        (folder / "metrics.jsonl").write_text(sealed(f"{json.dumps(step)}\n{json.dumps(done)}"))
        (folder / "artifact.bin").write_bytes(b"a" * (1000 + seed))
        (folder / "checkpoint.safetensors").write_bytes(b"c" * 4000)
    for row in scores:
        sizes = {
            str(seed): {
                "network_bytes": 1000 + seed,
                "total_bytes": 1600 + seed,
                "artifact_sha256": "a",
            }
            for seed in SEEDS
        }
        ledger = {"code_counted": "decoder", "limit_bytes": 16_000_000, "memory_bytes": 500}
        ledger |= {"memory_sha256": sha256_of(memory), "bundle_bytes": 100, "bundle_sha256": "b"}
        write_json(
            results / "rows" / row / "ledger.json", ledger | {"source_bytes": 9, "seeds": sizes}
        )
        write_json(results / "rows" / row / "audit.json", AUDIT)


def write_folder(
    folder: Path, results: Path, row: str = ROW, settings: dict[str, Any] = SETTINGS
) -> None:
    """The folder of a row, as it is made."""
    told = settings["submission"], settings["rows"][row], settings["limits"]
    made = files(FinishedRow(results, row), *told, CODE)
    folder.mkdir(parents=True)
    for name, content in (made | {"requirements.txt": b"numpy==2\n"}).items():
        (folder / name).write_bytes(content)
