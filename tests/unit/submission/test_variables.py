"""Variables that contest scripts read change the settings they name, and nothing else."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from fairway.stage import StageError
from fairway.submission.variables import CHANGES, read_variables

TRAINING = {"steps": 600, "warmdown_steps": 300, "batch_tokens": 2048, "sequence": 256}
SETTINGS: dict[str, Any] = {
    "seed": 7,
    "row": {"vocabulary": 1024, "windows": {"length": 256, "stride": 64}},
    "stages": {
        "encode_corpus": {"vocabulary": 1024},
        "train_model": {
            "vocabulary": 1024,
            "training": TRAINING | {"max_seconds": None, "world_size": 1},
            "architecture": {
                "layers": "shared",
                **{"shared_blocks": 1, "loops": 2, "unique_blocks": 1},
                **{"width": 128, "heads": 4, "kv_heads": 2, "mlp_width": 384},
            },
        },
        "score_targets": {"windows": {"length": 256, "stride": 64}},
    },
}


def flat(value: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {place.lstrip("."): value}
    found = {}
    for key, item in value.items():
        found |= flat(item, f"{place}.{key}")
    return found


def changed(**environment: str) -> dict[str, Any]:
    before, after = flat(SETTINGS), flat(read_variables(SETTINGS, environment).settings)
    return {key.rpartition("stages.")[2]: after[key] for key in after if after[key] != before[key]}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ITERATIONS": "9"}, {"train_model.training.steps": 9}),
        ({"WARMDOWN_ITERS": "0"}, {"train_model.training.warmdown_steps": 0}),
        ({"TRAIN_BATCH_TOKENS": "4096"}, {"train_model.training.batch_tokens": 4096}),
        ({"TRAIN_SEQ_LEN": "128"}, {"train_model.training.sequence": 128}),
        ({"MAX_WALLCLOCK_SECONDS": "2.5"}, {"train_model.training.max_seconds": 2.5}),
        ({"MAX_WALLCLOCK_SECONDS": "0"}, {}),
        ({"MODEL_DIM": "64"}, {"train_model.architecture.width": 64}),
        ({"NUM_HEADS": "8"}, {"train_model.architecture.heads": 8}),
        ({"NUM_KV_HEADS": "1"}, {"train_model.architecture.kv_heads": 1}),
        ({"NUM_LAYERS": "5"}, {"train_model.architecture.unique_blocks": 3}),
        ({"VAL_LOSS_EVERY": "100"}, {}),
        ({"WORLD_SIZE": "8"}, {"train_model.training.world_size": 8}),
        ({"PATH": "x"}, {}),
        (
            {"MODEL_DIM": "64", "MLP_MULT": "2"},
            {"train_model.architecture.width": 64, "train_model.architecture.mlp_width": 128},
        ),
        (
            {"VOCAB_SIZE": "512"},
            {
                "row.vocabulary": 512,
                "encode_corpus.vocabulary": 512,
                "train_model.vocabulary": 512,
            },
        ),
        (
            {"EVAL_STRIDE": "32"},
            {"row.windows.stride": 32, "score_targets.windows.stride": 32},
        ),
    ],
)
def test_a_variable_changes_what_it_names(environment, expected):
    assert changed(**environment) == expected


def test_independent_layers_are_all_of_them():
    settings = deepcopy(SETTINGS)
    settings["stages"]["train_model"]["architecture"] = {"layers": "independent", "blocks": 2}
    found = read_variables(settings, {"NUM_LAYERS": "11"}).settings
    assert found["stages"]["train_model"]["architecture"]["blocks"] == 11


def test_what_is_not_set_is_as_the_script_was_made():
    before = deepcopy(SETTINGS)
    call = read_variables(SETTINGS, {})
    assert call.settings == before == SETTINGS
    assert (call.seed, call.run_id, call.rank, call.world_size) == (7, "seed7", 0, 1)
    assert call.data == Path("data/datasets/fineweb10B_sp1024")
    call = read_variables(SETTINGS, {"SEED": "3", "DATA_PATH": "d", "RUN_ID": "x.1", "RANK": "2"})
    assert (call.seed, call.run_id, call.data, call.rank) == (3, "x.1", Path("d"), 2)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ITERATIONS": "many"}, "ITERATIONS: 'many'; expected a whole number of at least 0"),
        ({"SEED": "-1"}, "SEED: '-1'; expected a whole number of at least 0"),
        ({"MAX_WALLCLOCK_SECONDS": "nan"}, "MAX_WALLCLOCK_SECONDS: 'nan'; expected a number"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE: '0'; expected a whole number of at least 1"),
        ({"NUM_LAYERS": "1"}, "NUM_LAYERS: 1; expected at least 2, those that are looped"),
        ({"RUN_ID": "../up"}, "RUN_ID: '../up'; expected letters, digits"),
        ({"RUN_ID": ".."}, "RUN_ID: '..'; expected letters, digits"),
    ],
)
def test_a_value_that_is_none_is_one_line(environment, message):
    with pytest.raises(StageError, match=f"^{message}"):
        read_variables(SETTINGS, environment)


def test_every_variable_but_names_and_places_takes_a_number():
    for name in CHANGES:
        with pytest.raises(StageError, match=f"^{name}: 'x'; expected a "):
            read_variables(SETTINGS, {name: "x"})
