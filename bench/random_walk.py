"""Can a table be made stale? Random sequences of what users and machines do to a run's folder.

    python bench/random_walk.py --sequences 20
    python bench/random_walk.py --sequences 3 --steps 4 --seed 7

Each sequence begins with a finished run of a very small configuration, then takes random steps:
other settings, files deleted, damaged, copied over each other, given times of another day, a
source file replaced by an older one, runs that are killed or end half-way, `.snakemake` deleted.
Then `./run` is asked for the table, which must be that of a fresh run under the same settings,
times aside: where it differs, the sequence is printed and the exit code is 1.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
LAUNCH = [sys.executable, ROOT / "envs" / "launch.py", "--quiet", "all"]
TABLES = ("summary.csv", "seeds.csv")
TIMES = ("seconds", "training", "calibration", "quantising", "packing", "loading", "scoring")
TIMES += ("counting", "mixing", "over_budget")
WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "that",
    "for",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
]
SETTINGS: dict[str, list[Any]] = {  # dotted key: the values that a step chooses from
    "gates.uniform.threshold": [4.0, 3.0],
    "caches.hashed7.buckets": [256, 512],
    "seeds": [[1], [1, 2]],
    "corpus.val_fraction": [0.1, 0.2],
}
MODEL = {
    "architecture": {
        **{"shared_blocks": 1, "loops": 1, "unique_blocks": 1, "lora_rank": 2, "width": 16},
        **{"heads": 2, "kv_heads": 1, "mlp_width": 32, "rope_dims": 4, "rope_context": 32},
        **{"bigram_rows": 64, "bigram_width": 8, "value_embedding_width": 8},
        "value_embedding_layers": [1],
    },
    "training": {
        **{"batch_tokens": 256, "sequence": 32, "steps": 3, "warmup_steps": 0},
        **{"warmdown_steps": 2, "swa_every": 1, "checkpoint_every": 1, "log_every": 1},
    },
    "quantization": {"calibration_tokens": 512, "block": 16},
}


def configuration(choice: dict[str, Any]) -> dict[str, Any]:
    """The override file of some settings."""
    found: dict[str, Any] = {
        "corpus": {"kind": "text", "paths": ["texts/*.jsonl"], "minimum_documents": 2}
        | {"vocabulary": 300},
        "windows": {"length": 32, "stride": 16},
        "ranks": 2,
        "models": {"ebls": MODEL},
        "caches": {"hashed7": {}},
        "gates": {"uniform": {}},
        "rows": [
            {"name": "neural", "model": "ebls", "cache": "none", "gate": "none"},
            {"name": "hashed7", "model": "ebls", "cache": "hashed7", "gate": "uniform"},
        ],
        "audit": {"mass_targets": 8, "causality_targets": 1, "null_tokens": 1000},
        "proof": {"bytes": 64},
    }
    for key, value in choice.items():
        *parents, last = key.split(".")
        place = found
        for name in parents:
            place = place[name]
        place[last] = value
    return found


def write_text(folder: Path, version: int) -> None:
    """Two files of documents; version says which words. The second version is the older file."""
    generator = random.Random(version)
    (folder / "texts").mkdir(exist_ok=True)
    for name in ("a", "b"):
        lines = [
            json.dumps({"text": " ".join(generator.choices(WORDS, k=60)) + str(number)})
            for number in range(60)
        ]
        path = folder / "texts" / f"{name}.jsonl"
        path.write_text("\n".join(lines) + "\n")
        day = 1_700_000_000 - 86_400 * version
        os.utime(path, (day, day))


class Walk:
    """A working directory with its settings, and the steps that are taken in it."""

    def __init__(self, folder: Path, generator: random.Random) -> None:
        self.folder, self.generator = folder, generator
        self.choice = {key: values[0] for key, values in SETTINGS.items()}
        self.version = 0
        self.taken: list[str] = []
        write_text(folder, 0)

    def command(self, *arguments: str) -> list[str | Path]:
        config = self.folder / "own.yaml"
        config.write_text(yaml.safe_dump(configuration(self.choice)))
        return [*LAUNCH, "--configfile", config, "--directory", self.folder, *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        command = self.command(*arguments)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(command, text=True, cwd=self.folder, **streams)

    def files(self) -> list[Path]:
        """Results, in an order that a seed repeats."""
        found = (self.folder / "results").rglob("*")
        return sorted(path for path in found if path.is_file() and "logs" not in path.parts)

    def step(self) -> None:
        """Take one step at random and note it."""
        self.taken.append(self.generator.choice(self.steps())())

    def steps(self) -> list[Callable[[], str]]:
        """Those that `step` chooses from."""
        settings = [self.set, self.set, self.replace_source, self.half]
        return [*settings, self.delete, self.damage, self.copy, self.times, self.forget, self.kill]

    def set(self) -> str:
        key = self.generator.choice(list(SETTINGS))
        self.choice[key] = self.generator.choice(SETTINGS[key])
        return f"set {key} to {self.choice[key]}"

    def delete(self) -> str:
        path = self.generator.choice(self.files())
        path.unlink()
        return f"delete {path.name}"

    def damage(self) -> str:
        path = self.generator.choice(self.files())
        content = bytearray(path.read_bytes())
        if content:
            content[self.generator.randrange(len(content))] ^= 1 << self.generator.randrange(8)
            path.write_bytes(content)
        return f"flip a bit of {path.relative_to(self.folder)}"

    def copy(self) -> str:
        path = self.generator.choice(self.files())
        others = [o for o in self.files() if o.suffix == path.suffix and o != path]
        other = self.generator.choice(others or [path])
        if other != path:
            shutil.copy2(path, other)
        return f"copy {path.relative_to(self.folder)} over {other.relative_to(self.folder)}"

    def times(self) -> str:
        hours = self.generator.choice([-48, 48])
        now = time.time() + 3600 * hours
        for path in self.files():
            os.utime(path, (now, now))
        return f"give all results times {hours:+} hours from now"

    def replace_source(self) -> str:
        self.version = 1 - self.version
        write_text(self.folder, self.version)
        return f"replace the text by version {self.version}"

    def forget(self) -> str:
        shutil.rmtree(self.folder / ".snakemake", ignore_errors=True)
        return "delete .snakemake"

    def kill(self) -> str:
        seconds = self.generator.uniform(2, 12)
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = psutil.Popen(self.command(), cwd=self.folder, **streams)
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:  # as when the machine fails: everything at once
            jobs = process.children(recursive=True)
            for each in (process, *jobs):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()
            psutil.wait_procs(jobs, timeout=60)
        return f"kill a run after {seconds:.1f} s"

    def half(self) -> str:
        rule = self.generator.choice(["encode_corpus", "pack_artifact", "count_ngrams"])
        self.run("--until", rule)
        return f"run until {rule}"


def tables(folder: Path) -> dict[str, str]:
    """The tables without columns of time."""
    found = {}
    for name in TABLES:
        table = pd.read_csv(folder / "results" / name)
        kept = [c for c in table if not any(time in c for time in TIMES)]
        found[name] = table[kept].to_csv(index=False)
    return found


def finished(walk: Walk) -> dict[str, str]:
    """The tables of a run to its end; exits with its output if it cannot be had in three tries."""
    for _ in range(3):  # what does not belong together may end one run and is made by the next
        done = walk.run()
        if done.returncode == 0:
            return tables(walk.folder)
    sys.exit(f"{done.stdout[-3000:]}\nno table after: {'; '.join(walk.taken)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=int, default=20)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fresh: dict[str, dict[str, str]] = {}
    wrong = 0
    with tempfile.TemporaryDirectory() as top:
        base = Walk(_new(Path(top) / "base"), random.Random(0))
        finished(base)
        for sequence in range(options.seed, options.seed + options.sequences):
            folder = Path(top) / f"walk{sequence}"
            shutil.copytree(base.folder, folder)
            walk = Walk(folder, random.Random(sequence))
            for _ in range(options.steps):
                walk.step()
            found = finished(walk)
            key = f"{walk.choice} {walk.version}"
            if key not in fresh:
                other = Walk(_new(Path(top) / f"fresh{len(fresh)}"), random.Random(0))
                other.choice = walk.choice
                write_text(other.folder, walk.version)
                fresh[key] = finished(other)
            same = found == fresh[key]
            wrong += not same
            if not same:
                print(*found.values(), *fresh[key].values(), sep="\n")
            verdict = "the fresh run's table" if same else "ANOTHER TABLE"
            print(f"sequence {sequence}: {verdict} after: {'; '.join(walk.taken)}", flush=True)
            shutil.rmtree(folder)
    print(f"{options.sequences - wrong} of {options.sequences} ended in the fresh run's table")
    sys.exit(wrong > 0)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
