"""Train, pack and score one row, alone: the script that a submission's train_gpt.py holds.

    SEED=1337 DATA_PATH=shards TOKENIZER_PATH=tokenizer.model python train_gpt.py
    SEED=1337 torchrun --standalone --nproc_per_node=8 train_gpt.py

No stage of the pipeline, but its stages one after another: write_submission makes one file of
them (fairway/bundle.py), with the row's settings; environment variables change these
(fairway/submission/variables.py). It prints the customary lines, and to logs/RUN_ID.txt as well;
all else is in run_RUN_ID/. Under torchrun every process trains and scores its share, the first
does the rest. The last lines are the row's score, as the pipeline has it for that seed.
"""

from fairway.start import run

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fairway.closure import STAGES
from fairway.corpus.manifest import Manifest
from fairway.counting.memories import memory_tokens
from fairway.rows.gate import row_gate
from fairway.rows.mixing import mix_row, row_mixer
from fairway.rows.shards import load_shards
from fairway.rows.sums import Sums
from fairway.stage import StageError, atomic_output
from fairway.submission import log_lines
from fairway.submission.ranks import Ranks
from fairway.submission.variables import Call, read_variables
from fairway.tables.metrics import Done, Step, read_line

SHARDS = {"train": ("*_train_*.bin", "train.bin"), "val": ("*_val_*.bin", "val.bin")}
_LOOK_SECONDS = 0.5


class Run:
    """One run of the script. code_bytes: of its file, which is all the code that is handed in."""

    def __init__(self, call: Call, code_bytes: int) -> None:
        self.call, self.code_bytes = call, code_bytes
        self.row, self.stages = call.settings["row"], call.settings["stages"]
        self.folder = Path(f"run_{call.run_id}")
        self.log = Path("logs") / f"{call.run_id}.txt"
        self.ranks = Ranks(self.folder / "ranks", call.rank, call.world_size)
        shards = range(self.row["ranks"])
        self.scores = [self.folder / f"scores{shard}.npz" for shard in shards]
        self.counts = [self.folder / f"counts{shard}.npz" for shard in shards]
        self.memory = [self.folder / "memory.bin"] if "pack_memory" in self.stages else []

    def run(self) -> None:
        """All of it; the first process says what comes out."""
        first, training = self.ranks.is_first, self.stages["train_model"]["training"]
        if first:
            self.log.parent.mkdir(exist_ok=True)
            self.log.unlink(missing_ok=True)
            named = self.call.seed, self.call.run_id, self.call.world_size
            self.say(*log_lines.head(*named, training))
            self.encode()
        self.together("corpus")
        self.train(training["steps"])
        if first:
            self.pack()
        self.together("artifact")
        start = time.monotonic()
        for shard in range(self.call.rank, self.row["ranks"], self.call.world_size):
            self.score(shard)
        self.ranks.reach("scores")
        if first:
            self.conclude(start)

    def together(self, step: str) -> None:
        """The first process goes on; the others when it has."""
        if self.ranks.is_first:
            self.ranks.reach(step)
        self.ranks.wait(step, range(1))

    def say(self, *lines: str) -> None:
        """Print lines, and write them to the log."""
        with self.log.open("a") as log:
            for line in lines:
                print(line, flush=True)
                log.write(line + "\n")

    def stage(self, name: str, key: str = "", **flags: Any) -> subprocess.Popen:
        """Start a stage with its settings and these flags; what it prints goes to a file."""
        named = f"{name}{key}"
        spec = self.folder / f"{named}.rank{self.call.rank}.json"
        with atomic_output(spec) as temporary:
            temporary.write_text(json.dumps({"settings": self.stages[name]}))
        command = [sys.executable, str(STAGES / f"{name}.py"), "--spec", str(spec)]
        for flag, value in flags.items():
            values = value if isinstance(value, list) else [value]
            command += [f"--{flag.replace('_', '-')}", *map(str, values)]
        with spec.with_suffix(".log").open("wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def finish(self, name: str, key: str = "", **flags: Any) -> None:
        """Run a stage to its end; StageError with its last line if it fails."""
        self.end(self.stage(name, key, **flags), f"{name}{key}")

    def end(self, process: subprocess.Popen, named: str) -> None:
        """Wait for a stage; StageError with its last line if it fails."""
        if process.wait():
            text = (self.folder / f"{named}.rank{self.call.rank}.log").read_text(errors="replace")
            last = (text.strip().splitlines() or ["no message"])[-1]
            raise StageError(f"{named}: ended with {process.returncode}: {last}")

    def file(self, name: str) -> Path:
        return self.folder / name

    @property
    def corpus(self) -> dict[str, Path]:
        return {"manifest": self.file("manifest.json"), "val": self.file("val.bin")}

    def encode(self) -> None:
        """Check the shards that were given, and count the bytes of the validation text."""
        found = {f"{side}_shards": self.shards(side) for side in SHARDS}
        given = {"kind": "shards", "tokenizer": str(self.call.tokenizer), "val_documents": None}
        self.stages["encode_corpus"] |= given | found
        self.finish(
            "encode_corpus",
            **self.corpus,
            tokenizer=self.call.tokenizer,
            val_bytes=self.file("val_bytes.npy"),
            val_text=self.file("val_text.bin"),
        )

    def shards(self, side: str) -> list[str]:
        """Files in DATA_PATH of one side, by name; StageError if there are none."""
        for pattern in SHARDS[side]:
            if found := sorted(map(str, self.call.data.glob(pattern))):
                return found
        raise StageError(f"DATA_PATH: {self.call.data}: no {' or '.join(SHARDS[side])} in it")

    def train(self, steps: int) -> None:
        """Train as one of the processes, saying the steps as they come."""
        metrics = self.file("metrics.jsonl")
        if self.ranks.is_first:
            metrics.unlink(missing_ok=True)
        process = self.stage(
            "train_model",
            manifest=self.corpus["manifest"],
            seed=self.call.seed,
            checkpoint=self.file("checkpoint.safetensors"),
            metrics=metrics,
            resume=self.file("resume.safetensors"),
        )
        if not self.ranks.is_first:
            self.end(process, "train_model")
            return
        said = 0
        while True:
            ended = process.poll() is not None
            lines = metrics.read_text().splitlines() if metrics.is_file() else []
            for line in lines[said:]:
                found = read_line(line, metrics)
                if isinstance(found, Step):
                    self.say(log_lines.step(found, steps))
                elif isinstance(found, Done):
                    self.say(*log_lines.trained(found, steps))
            said = len(lines)
            if ended:
                break
            time.sleep(_LOOK_SECONDS)
        self.end(process, "train_model")

    def pack(self) -> None:
        """Quantise and pack the network, pack the memory; StageError if all is too large."""
        checkpoint, quantized = self.file("checkpoint.safetensors"), self.file("q.safetensors")
        artifact, report = self.file("artifact.bin"), self.file("quantize.json")
        manifest = self.corpus["manifest"]
        self.finish(
            "quantize_model",
            manifest=manifest,
            checkpoint=checkpoint,
            quantized=quantized,
            report=report,
        )
        ledger = self.file("ledger.json")
        self.finish("pack_artifact", quantized=quantized, artifact=artifact, ledger=ledger)
        for memory in self.memory:
            stats = self.file("memory.json")
            self.finish("pack_memory", manifest=manifest, memory=memory, stats=stats)
        sizes = log_lines.Sizes(
            checkpoint.stat().st_size,
            artifact.stat().st_size,
            sum(memory.stat().st_size for memory in self.memory),
            self.code_bytes,
            self.stages["pack_artifact"]["compressor"],
        )
        self.say(*log_lines.sizes(sizes))
        limit = self.stages["pack_artifact"]["artifact_bytes"]
        if sizes.total >= limit:
            raise StageError(f"submission: {sizes.total:,} bytes; expected less than {limit:,}")

    def score(self, shard: int) -> None:
        """Score one shard of the validation text with the network."""
        self.finish(
            "score_targets",
            str(shard),
            **self.corpus,
            artifact=self.file("artifact.bin"),
            rank=shard,
            scores=self.scores[shard],
            stats=self.file(f"scores{shard}.json"),
        )

    def conclude(self, start: float) -> None:
        """Count, mix and say the score. start: when scoring began."""
        cache = self.row["cache_settings"]
        if cache is not None:
            files = {"counts": self.counts, "memory": self.memory}
            self.finish("count_ngrams", **self.corpus, **files, stats=self.file("counts.json"))
        self.ranks.wait("scores", range(self.call.world_size))
        self.result(self.mixed(neural=True), "sliding_window", start)
        if cache is not None:
            self.say(*log_lines.cache(cache))
            self.result(self.mixed(), log_lines.label(cache), start)

    def result(self, sums: Sums, label: str, start: float) -> None:
        """Say a score."""
        seconds = time.monotonic() - start
        found = sums.nats, sums.targets, sums.bits_per_byte
        self.say(*log_lines.result(label, *found, seconds))

    def mixed(self, neural: bool = False) -> Sums:
        """The row's sums of nats and bytes, or those of its network alone."""
        row = self.row | ({"cache_settings": None, "gate": None} if neural else {})
        manifest, cache = Manifest.load(self.corpus["manifest"]), row["cache_settings"]
        tokens = manifest.read_val(self.corpus["val"])
        target_bytes = manifest.read_val_bytes(self.file("val_bytes.npy"))
        identity = manifest.tokenizer.sha256, manifest.vocabulary
        memory = memory_tokens([] if neural else self.memory, cache, *identity)
        mixer = row_mixer(row_gate(row["gate"], cache, memory), tokens)
        shards = load_shards(self.scores, [] if neural else self.counts, row, manifest)
        return mix_row(mixer, shards, target_bytes, row["row"], self.call.seed, "")


def start(settings: dict[str, Any]) -> None:
    """Run as the script that this process was started with. settings: of the row and stages."""
    code_bytes = Path(sys.argv[0]).stat().st_size
    run(lambda: Run(read_variables(settings, os.environ), code_bytes).run())
