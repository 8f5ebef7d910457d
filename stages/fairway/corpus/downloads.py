"""Which files a corpus with `download` consists of: their paths in the dataset and here.

The layout is that of the dataset that parameter-golf publishes (its data/README.md):
ROOT/datasets/fineweb10B_sp1024/fineweb_train_000000.bin, …, fineweb_val_000000.bin and
ROOT/tokenizers/fineweb_1024_bpe.model. Below `folder` it is the same without ROOT. Nothing is
fetched here.
"""

import hashlib
import json
from pathlib import Path
from typing import Any


def download_key(settings: dict[str, Any]) -> str:
    """Short hash of all that says what is downloaded and where to; names the receipt."""
    what = {key: settings[key] for key in ("vocabulary", "download")}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def dataset_names(settings: dict[str, Any]) -> dict[str, Any]:
    """Names below the dataset's root: `train_shards` (a list), `val_shards` and `tokenizer`.

    settings: the `corpus` section, with `download`; the first `train_shards` of it are taken,
    since the shards are shuffled, and the whole validation split, which is one shard.
    """
    vocabulary = settings["vocabulary"]
    shards = f"datasets/fineweb10B_sp{vocabulary}"
    count = settings["download"]["train_shards"]
    return {
        "train_shards": [f"{shards}/fineweb_train_{index:06d}.bin" for index in range(count)],
        "val_shards": [f"{shards}/fineweb_val_000000.bin"],
        "tokenizer": f"tokenizers/fineweb_{vocabulary}_bpe.model",
    }


def downloaded_corpus(settings: dict[str, Any]) -> dict[str, Any]:
    """The keys that name a `shards` corpus's files, with the places they are downloaded to."""
    folder = Path(settings["download"]["folder"])
    return {
        key: [str(folder / name) for name in names]
        if isinstance(names, list)
        else str(folder / names)
        for key, names in dataset_names(settings).items()
    }


def download_places(settings: dict[str, Any]) -> dict[str, Path]:
    """Path in the dataset → path here, of every file; the small ones first."""
    download, names = settings["download"], dataset_names(settings)
    root, folder = Path(download["root"]), Path(download["folder"])
    every = [names["tokenizer"], *names["val_shards"], *names["train_shards"]]
    return {(root / name).as_posix(): folder / name for name in every}
