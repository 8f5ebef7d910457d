"""Our rows that are code lengths beside general compressors, on the same validation text.

    python bench/peers.py                      # reads results/ of a finished run
    apt-get install xz-utils zstd brotli p7zip-full zpaq   # those that are missing are named

Prints one Markdown table of three accountings, in bytes and bits per byte. Nothing known: a row's
length and its artifact; what a compressor makes of the validation text. Artifact given: a row's
length. Training text given, to both: what the validation text adds to a compressor's output behind
the training text; a row's length, since its network and its memory are made from that text.
Documents are separated by one NUL byte for the compressors and by BOS for the rows; neither counts
as text. Microseconds per byte of validation text: of compressing it alone; of evaluating a row.
"""

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "stages"))
from fairway.start import run

from fairway.corpus.exact_text import SEPARATOR, ExactText
from fairway.corpus.manifest import Manifest
from fairway.corpus.shards import read_shard
from fairway.corpus.tokenizer import load_tokenizer
from fairway.stage import StageError, require_file


@dataclass(frozen=True)
class Compressor:
    """A command that writes `{output}` from `{input}`; both are file names in its folder."""

    name: str
    program: str
    arguments: str

    def size(self, content: bytes) -> tuple[int, float]:
        """Bytes of the compressed content, and seconds. StageError if the program fails."""
        with tempfile.TemporaryDirectory() as folder:
            names = {"input": "text", "output": f"text.{self.program}"}
            (Path(folder) / names["input"]).write_bytes(content)
            command = [self.program, *self.arguments.format(**names).split()]
            start = time.monotonic()
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            seconds = time.monotonic() - start
            output = Path(folder) / names["output"]
            if done.returncode or not output.is_file():
                last = (done.stderr or done.stdout).strip().splitlines()[-1:]
                raise StageError(f"{' '.join(command)}: exit {done.returncode} {last}")
            return output.stat().st_size, seconds


COMPRESSORS = (
    Compressor("xz -9e", "xz", "-9e --keep {input}"),
    Compressor("zstd -22 --ultra", "zstd", "-22 --ultra --long=27 -q {input} -o {output}"),
    Compressor("brotli -11", "brotli", "-q 11 --lgwin=24 {input} -o {output}"),
    Compressor("7z PPMd", "7z", "a -bd -m0=PPMd -mx=9 {output} {input}"),
    Compressor("zpaq -m5", "zpaq", "a {output} {input} -m5"),
)
COLUMNS = ("nothing known", "artifact given", "training text given")


def texts(results: Path) -> tuple[bytes, bytes, Manifest]:
    """Training and validation text, documents with a separator between them, and the manifest."""
    manifest = Manifest.load(results / "corpus" / "manifest.json")
    tokenizer = load_tokenizer(manifest.path_of(manifest.tokenizer.file), manifest.vocabulary)
    text = ExactText(tokenizer)
    train = [text.decode(read_shard(path)) for path in manifest.train_shards()]
    val = text.decode(manifest.read_val(manifest.val_path))
    return SEPARATOR.join(train), val, manifest


def compressor_line(compressor: Compressor, train: bytes, val: bytes, size: int) -> dict:
    """One line of the table; `size`: bytes to divide by."""
    alone, seconds = compressor.size(val)
    before, _ = compressor.size(train)
    after, _ = compressor.size(train + SEPARATOR + val)
    return line(compressor.name, (alone, None, after - before), size, seconds)


def row_lines(results: Path, size: int) -> list[dict]:
    """One line per row that is a code length, means over its seeds."""
    seeds = pd.read_csv(require_file(results / "seeds.csv"))
    valid = seeds[seeds["is_code_length"]].groupby("row", sort=False)
    found = []
    for name, of_row in valid:
        length = float(of_row["nats"].mean()) / math.log(2) / 8
        artifact = float(of_row["artifact_bytes"].mean())
        seconds = float(of_row["eval_seconds"].mean())
        found.append(line(f"**{name}**", (length + artifact, length, length), size, seconds))
    return found


def line(name: str, lengths: tuple[float | None, ...], size: int, seconds: float) -> dict:
    """Bytes and bits per byte of each accounting; None where there is none."""
    found: dict = {"": name}
    for column, length in zip(COLUMNS, lengths, strict=True):
        found[f"{column}: bytes"] = "" if length is None else f"{length:,.0f}"
        found[f"{column}: BPB"] = "" if length is None else f"{8 * length / size:.4f}"
    return found | {"µs per byte": f"{1e6 * seconds / size:.2f}"}


def markdown(lines: list[dict]) -> str:
    """A table, best score with the training text given first."""
    lines = sorted(lines, key=lambda found: float(found[f"{COLUMNS[-1]}: BPB"]))
    header = list(lines[0])
    cells = [header, ["---", *["--:"] * (len(header) - 1)], *(found.values() for found in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_args()
    train, val, manifest = texts(options.results)
    size = manifest.val.bytes
    lines = row_lines(options.results, size)
    for compressor in COMPRESSORS:
        if shutil.which(compressor.program) is None:
            print(f"{compressor.name}: not installed", file=sys.stderr)
            continue
        print(f"{compressor.name} …", file=sys.stderr)
        lines.append(compressor_line(compressor, train, val, size))
    if not lines:
        raise StageError("nothing to compare: no row is a code length, no compressor installed")
    print(markdown(lines))
    known = len(train) - manifest.train.documents + 1
    print(
        f"\nValidation text of {size:,} bytes, training text of {known:,}, separators not counted."
    )


if __name__ == "__main__":
    run(main)
