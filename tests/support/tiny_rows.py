"""Small rows with a tokenizer, for tests of the codec: a random model, a text, cache and gate."""

from pathlib import Path
from typing import Any

import numpy as np

from fairway.artifact.container import encode
from fairway.artifact.kinds import FLOAT32
from fairway.artifact.storage import StoredModel
from fairway.codec.file import Codec
from fairway.codec.neural import Network
from fairway.codec.prediction import Base, Uniform
from fairway.corpus.exact_text import ExactText
from fairway.corpus.tokenizer import encode_documents
from fairway.counting.memories import Memory
from fairway.model.network import Model
from support.corpus_samples import VOCABULARY, sample_model, sample_texts, tokenizer_of
from support.tiny_models import CONTEXT, tiny_model

WINDOWS = {"length": CONTEXT, "stride": 8}
ARTIFACT_SHA256 = "ab" * 32
EXACT = {
    "kind": "exact",
    "max_order": 5,
    "min_order": 2,
    "buckets": None,
    "min_count": 1,
    "prefill": True,
    "update": "segment",
    "cross_documents": True,
    "output": "match",
    "memory": None,
}
ORDERS = EXACT | {"output": "orders", "update": "token"}
REMEMBERS = {"memory": "some"}
ADAPTIVE = {"kind": "order_adaptive", "threshold_low_order": 4.5, "threshold_high_order": 2.5}
KIN = {"kind": "empirical_bayes", "kin": True}


def row(
    name: str,
    gate: dict[str, Any] | None = None,
    cache: dict[str, Any] | None = None,
    model: str | None = "tiny",
) -> dict[str, Any]:
    """Settings of a row as mix_scores has them."""
    settings = {"row": name, "model": model, "cache": "c", "cache_settings": cache, "gate": gate}
    return settings | {"windows": WINDOWS, "ranks": 2, "vocabulary": VOCABULARY}


ROWS = {
    "neural": row("neural"),
    "segment": row("segment", ADAPTIVE, EXACT),
    "token": row("token", ADAPTIVE, EXACT | {"update": "token", "cross_documents": False}),
    "bayes": row("bayes", {"kind": "empirical_bayes"}, ORDERS),
    "memory": row("memory", ADAPTIVE, EXACT | REMEMBERS),
    "bayes_memory": row("bayes_memory", KIN, ORDERS | REMEMBERS),
    "uniform": row("uniform", model=None),
    "memory_only": row("memory_only", KIN, ORDERS | REMEMBERS, None),
}


def codec_model(seed: int = 0) -> Model:
    """A random model with the vocabulary of the sample tokenizer."""
    return tiny_model(seed, vocabulary=VOCABULARY)


def base_of(settings: dict[str, Any], seed: int = 0) -> Base:
    """What a row starts from: that model, or nothing."""
    if settings["model"] is None:
        return Uniform(VOCABULARY)
    return Network(codec_model(seed), ARTIFACT_SHA256)


def memory_of(settings: dict[str, Any]) -> Memory | None:
    """What a row's cache begins with, if it has a memory."""
    cache = settings["cache_settings"]
    if cache is None or cache["memory"] is None:
        return None
    return Memory(repetitive_tokens(300)[100:], VOCABULARY, "1" * 64, "cd" * 32)


def codec_of(settings: dict[str, Any], seed: int = 0) -> Codec:
    """A codec of a row."""
    text = ExactText(tokenizer_of("lossless"))
    return Codec(base_of(settings, seed), text, settings, memory_of(settings))


def repetitive_tokens(count: int) -> np.ndarray:
    """uint16 (count,): documents with repeats, so that caches find long matches."""
    texts = [text[:90] for text in sample_texts(6)] * 3
    documents = encode_documents(tokenizer_of("lossless"), texts)
    return np.concatenate(documents)[:count]


def write_artifact(path: Path, tokenizer_sha256: str, seed: int = 0) -> Path:
    """The model as an artifact, every tensor in float32."""
    model = codec_model(seed)
    tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    kinds = dict.fromkeys(tensors, FLOAT32)
    stored = StoredModel(model.config.to_dict(), tokenizer_sha256, kinds, tensors)
    path.write_bytes(encode(stored, "zstd"))
    return path


def write_tokenizer(path: Path) -> Path:
    """The sample tokenizer's model file."""
    path.write_bytes(sample_model())
    return path
