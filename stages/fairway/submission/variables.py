"""The environment variables that contest scripts read, as changes of a row's settings.

    DATA_PATH, TOKENIZER_PATH       folder of token shards (*train*.bin, *val*.bin), and their
                                    tokenizer
    SEED, RUN_ID                    of the training; the name of its log and its folder
    ITERATIONS, WARMDOWN_ITERS, TRAIN_BATCH_TOKENS, TRAIN_SEQ_LEN, MAX_WALLCLOCK_SECONDS (0: none)
    VOCAB_SIZE, NUM_LAYERS, MODEL_DIM, NUM_HEADS, NUM_KV_HEADS, MLP_MULT
    EVAL_STRIDE, VAL_LOSS_EVERY     the latter changes nothing: the text is scored once, at the end
    RANK, WORLD_SIZE                set by torchrun

What is not set stays as it was when the script was made. Whether the values fit together is
checked by what uses them.
"""

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairway.stage import StageError

Settings = dict[str, Any]
DATA_PATH = "./data/datasets/fineweb10B_sp1024"
TOKENIZER_PATH = "./data/tokenizers/fineweb_1024_bpe.model"


@dataclass(frozen=True)
class Call:
    """What a run of the script was told: settings are those of the stages and the row, changed."""

    data: Path
    tokenizer: Path
    seed: int
    run_id: str
    rank: int
    world_size: int
    settings: Settings


def read_variables(settings: Settings, environment: Mapping[str, str]) -> Call:
    """The call that the environment asks for. settings: as they were when the script was made.

    Raises StageError for a value that is none.
    """
    changed = deepcopy(settings)
    for name, change in CHANGES.items():
        if name in environment:
            change(changed, number(environment, name))
    seed = number(environment, "SEED", settings["seed"])
    world_size = number(environment, "WORLD_SIZE", 1, least=1)
    changed["stages"]["train_model"]["training"]["world_size"] = world_size
    run_id = environment.get("RUN_ID") or f"seed{seed}"
    if not re.fullmatch(r"[\w.-]*\w[\w.-]*", run_id):
        raise StageError(f"RUN_ID: {run_id!r}; expected letters, digits, `.`, `_` and `-`")
    return Call(
        Path(environment.get("DATA_PATH", DATA_PATH)),
        Path(environment.get("TOKENIZER_PATH", TOKENIZER_PATH)),
        *(seed, run_id, number(environment, "RANK", 0), world_size, changed),
    )


def number(
    environment: Mapping[str, str], name: str, default: int | None = None, least: int = 0
) -> float:
    """A variable's value: a whole number, but for seconds and multiples, which need not be."""
    text = environment.get(name)
    if text is None:
        return default
    kind = float if name in ("MAX_WALLCLOCK_SECONDS", "MLP_MULT") else int
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if not least <= value < 1 << 62:
        what = "number" if kind is float else "whole number"
        raise StageError(f"{name}: {text!r}; expected a {what} of at least {least}")
    return value


def _training(key: str) -> Callable[[Settings, float], None]:
    def change(settings: Settings, value: float) -> None:
        settings["stages"]["train_model"]["training"][key] = value

    return change


def _architecture(key: str) -> Callable[[Settings, float], None]:
    def change(settings: Settings, value: float) -> None:
        settings["stages"]["train_model"]["architecture"][key] = value

    return change


def _set_cap(settings: Settings, value: float) -> None:
    settings["stages"]["train_model"]["training"]["max_seconds"] = value or None


def _set_vocabulary(settings: Settings, value: float) -> None:
    for section in (settings["row"], *settings["stages"].values()):
        if "vocabulary" in section:
            section["vocabulary"] = value


def _set_stride(settings: Settings, value: float) -> None:
    for section in (settings["row"], *settings["stages"].values()):
        if "windows" in section:
            section["windows"]["stride"] = value


def _set_mlp(settings: Settings, value: float) -> None:
    architecture = settings["stages"]["train_model"]["architecture"]
    architecture["mlp_width"] = int(value * architecture["width"])


def _set_layers(settings: Settings, value: float) -> None:
    architecture = settings["stages"]["train_model"]["architecture"]
    if architecture["layers"] == "independent":
        architecture["blocks"] = value
        return
    looped = architecture["shared_blocks"] * architecture["loops"]
    architecture["unique_blocks"] = value - looped
    if value < looped:
        raise StageError(f"NUM_LAYERS: {value}; expected at least {looped}, those that are looped")


CHANGES: dict[str, Callable[[Settings, float], None]] = {  # in the order in which they are made
    "ITERATIONS": _training("steps"),
    "WARMDOWN_ITERS": _training("warmdown_steps"),
    "TRAIN_BATCH_TOKENS": _training("batch_tokens"),
    "TRAIN_SEQ_LEN": _training("sequence"),
    "MAX_WALLCLOCK_SECONDS": _set_cap,
    "VOCAB_SIZE": _set_vocabulary,
    "MODEL_DIM": _architecture("width"),
    "NUM_HEADS": _architecture("heads"),
    "NUM_KV_HEADS": _architecture("kv_heads"),
    "MLP_MULT": _set_mlp,
    "NUM_LAYERS": _set_layers,
    "EVAL_STRIDE": _set_stride,
    "VAL_LOSS_EVERY": lambda settings, value: None,
}
