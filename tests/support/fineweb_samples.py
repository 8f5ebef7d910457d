"""A few documents in the form of the published FineWeb dataset: 1,024 pieces, shards, a tokenizer.

The real ones where they are at hand, cut short; else docstrings and a tokenizer trained on them.
"""

from pathlib import Path

import numpy as np

from fairway.corpus.docstrings import package_docstrings
from fairway.corpus.shards import read_shard, write_shard
from fairway.corpus.tokenizer import document_starts, encode_documents, train_tokenizer
from support.corpus_samples import as_tokenizer
from support.shared_data import SHARED

VOCABULARY = 1024
MODEL = f"tokenizers/fineweb_{VOCABULARY}_bpe.model"
FOLDER = f"datasets/fineweb10B_sp{VOCABULARY}"
TRAIN, VAL = f"{FOLDER}/fineweb_train_000000.bin", f"{FOLDER}/fineweb_val_000000.bin"


def make_fineweb(folder: Path, train_tokens: int, val_tokens: int) -> None:
    """Write tokenizer, one training and one validation shard of about so many tokens."""
    real = SHARED / "data"
    if (real / MODEL).is_file():
        model = (real / MODEL).read_bytes()
        texts = {name: read_shard(real / name) for name in (TRAIN, VAL)}
    else:
        model, texts = _made_up()
    (folder / MODEL).parent.mkdir(parents=True)
    (folder / MODEL).write_bytes(model)
    for name, size in ((TRAIN, train_tokens), (VAL, val_tokens)):
        starts = document_starts(texts[name], name)
        write_shard(folder / name, np.array(texts[name][: starts[starts <= size][-1]]))


def _made_up() -> tuple[bytes, dict[str, np.ndarray]]:
    texts = [text for text in package_docstrings(["numpy"]) if len(text) > 100][:600]
    model = train_tokenizer(texts, VOCABULARY)
    documents = encode_documents(as_tokenizer(model), texts)
    return model, {
        TRAIN: np.concatenate(documents[::2]),
        VAL: np.concatenate(documents[1::2]),
    }


def make_placeholders(folder: Path, train_shards: int) -> None:
    """Files of the right names with nothing in them, enough to plan with."""
    names = [f"{FOLDER}/fineweb_train_{index:06d}.bin" for index in range(train_shards)]
    for name in (MODEL, VAL, *names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def dataset_content(folder: Path, root: str) -> dict[str, bytes]:
    """The files of `make_fineweb` by their paths in a dataset."""
    return {f"{root}/{name}": (folder / name).read_bytes() for name in (MODEL, TRAIN, VAL)}
