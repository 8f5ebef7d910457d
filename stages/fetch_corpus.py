"""Download a corpus's token shards and tokenizer from a Hugging Face dataset, and check them.

    ./run --configfile config/fineweb.yaml config/download.yaml fetch_corpus

    python stages/fetch_corpus.py --spec results/specs/fetch_corpus.*.json --receipt receipt.json

Reads: the spec (settings: `vocabulary` and `download` of the `corpus` section) and the network.
Writes the files below corpus.download.folder and, when all are there and right, the receipt: each
file's size and SHA-256, and where from. Files that are there already are checked, not fetched.
"""

from fairway.start import run

import argparse
import sys
from pathlib import Path
from typing import Any

from fairway.corpus.downloads import download_places
from fairway.corpus.hub import HubDataset, HubFile
from fairway.corpus.settings import FetchSettings
from fairway.files.spec import read_spec
from fairway.progress import Progress
from fairway.stage import StageError, sha256_of, write_json


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spec", type=Path, required=True)
    parser.add_argument("--receipt", type=Path, required=True, help="output: download.json")
    arguments = parser.parse_args()
    settings = read_spec(arguments.spec, FetchSettings).settings
    download = settings["download"]
    if not download:
        raise StageError("corpus.download: null; expected what to download")
    places = download_places(settings)
    dataset = HubDataset(download["repository"], download["revision"])
    entries = fetch(dataset, places, pinned(download, places))
    # Nothing but what the files are: whatever is made from them is made again if this changes.
    source = {key: download[key] for key in ("repository", "revision")}
    write_json(arguments.receipt, source | {"files": entries})
    print(f"dataset {dataset.repository} at commit {dataset.commit}", file=sys.stderr)


def pinned(download: dict[str, Any], places: dict[str, Path]) -> dict[str, str]:
    """The hashes that the configuration demands, by path in the dataset."""
    hashes = download["sha256"]
    for path in hashes:
        if path not in places:
            raise StageError(f"corpus.download.sha256: {path} is not one of the files to fetch")
    return hashes


def fetch(
    dataset: HubDataset, places: dict[str, Path], hashes: dict[str, str]
) -> list[dict[str, Any]]:
    """Fetch and check every file; returns their names here, sizes and SHA-256."""
    files = dataset.describe(list(places))
    for file in files:
        check_pin(file.path, file.sha256, hashes)
    progress = Progress(sum(file.size for file in files), "bytes")
    entries = []
    for file in files:
        entries.append(fetch_one(dataset, file, places[file.path], hashes))
        progress.update(file.size, places[file.path].name)
    progress.close()
    return entries


def fetch_one(
    dataset: HubDataset, file: HubFile, place: Path, hashes: dict[str, str]
) -> dict[str, Any]:
    """Fetch and check one file."""
    dataset.fetch(file, place)
    sha256 = file.sha256 or sha256_of(place)
    check_pin(file.path, sha256, hashes)
    return {"file": str(place), "bytes": file.size, "sha256": sha256}


def check_pin(path: str, found: str | None, hashes: dict[str, str]) -> None:
    """Raise StageError if a file's SHA-256 is known and is not the one demanded."""
    expected = hashes.get(path)
    if expected and found and found != expected:
        raise StageError(
            f"corpus.download.sha256: {path}: the dataset's has {found[:16]}…; "
            f"expected {expected[:16]}…"
        )


if __name__ == "__main__":
    run(main)
