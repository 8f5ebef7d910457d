"""Checkpoints have the same bytes for the same content; damaged files are noticed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fairway.artifact.quantized import QuantizedModel
from fairway.artifact.storage import StoredModel
from fairway.stage import StageError
from fairway.training.checkpoints import Checkpoint, Resumed, ResumeFile
from support.full_disk import files_up_to
from support.tiny_models import tiny_model

IDENTITY = {"spec": "a" * 64, "seed": 1, "training text": "b" * 64}
TENSORS = {"ema/0": torch.arange(4.0)}
STATE = Resumed(done=5, seconds=2.5, snapshots=1, lines=["x", "{}"], tensors=TENSORS)


def checkpoint(seed: int = 1) -> Checkpoint:
    model = tiny_model(seed)
    return Checkpoint(model.config, model.state_dict(), "c" * 64, seed, "d" * 64)


def test_a_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    checkpoint().save(tmp_path / "a.safetensors")
    loaded = Checkpoint.load(tmp_path / "a.safetensors")
    assert (loaded.config, loaded.spec, loaded.seed) == (tiny_model().config, "c" * 64, 1)
    assert loaded.tokenizer_sha256 == "d" * 64
    tokens = torch.arange(12)[None]
    assert torch.equal(loaded.model()(tokens), tiny_model(1)(tokens))


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    contents = set()
    for index in range(8):  # the library's own order of metadata differs from file to file
        checkpoint().save(tmp_path / f"{index}.safetensors")
        contents.add((tmp_path / f"{index}.safetensors").read_bytes())
    assert len(contents) == 1
    checkpoint(seed=2).save(tmp_path / "other.safetensors")
    assert (tmp_path / "other.safetensors").read_bytes() not in contents


@pytest.mark.parametrize("size", [0, 100, 4096])
@pytest.mark.parametrize(
    "file", ["checkpoint.safetensors", "quantized.safetensors", "resume.safetensors"]
)
def test_full_disk_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, file: str, size: int
) -> None:
    path, tensors = tmp_path / file, {"weight": torch.zeros(64, 64)}
    stored = StoredModel({}, "d" * 64, {"weight": "float32"}, tensors)
    save = {
        "checkpoint": checkpoint().save,
        "quantized": QuantizedModel(stored, {}, {}).save,
        "resume": lambda path: ResumeFile(path, IDENTITY).save(replace(STATE, tensors=tensors)),
    }[path.stem]
    path.write_bytes(b"old")
    with files_up_to(size), pytest.raises(StageError, match=f"{file}: cannot write: File too lar"):
        save(path)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"old"


def test_damaged_checkpoints_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint().save(path)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(StageError, match=r"a\.safetensors: damaged"):
        Checkpoint.load(path)
    path.write_bytes(content.replace(b'"seed"', b'"sied"'))
    with pytest.raises(
        StageError, match=r"a\.safetensors: damaged, its content has another sha256"
    ):
        Checkpoint.load(path)
    with pytest.raises(StageError, match="no such file"):
        Checkpoint.load(tmp_path / "absent.safetensors")


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint().save(path)
    content = path.read_bytes()
    places = np.random.default_rng(0).integers(0, len(content), 200)
    for place in (0, 8, int.from_bytes(content[:8], "little"), *places.tolist()):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(StageError, match=r"a\.safetensors: "):
            Checkpoint.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("smear_logit"), r"smear_logit: missing; its model has shape"),
        (
            lambda tensors: tensors.update(smear_logit=torch.zeros(2)),
            r"smear_logit: shape \[2\]; its model has shape \[32\]",
        ),
        (lambda tensors: tensors.update(x=torch.zeros(2)), "x: shape .2.; its model has no such"),
        (
            lambda tensors: tensors.update(smear_logit=tensors["smear_logit"].double()),
            r"smear_logit is torch\.float64; expected float32",
        ),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path: Path, change, message: str) -> None:
    tensors = dict(checkpoint().tensors)
    change(tensors)
    path = tmp_path / "a.safetensors"
    replace(checkpoint(), tensors=tensors).save(path)
    with pytest.raises(StageError, match=rf"a\.safetensors: {message}"):
        Checkpoint.load(path)


def test_a_state_comes_back_whole_and_is_removed(tmp_path: Path) -> None:
    file = ResumeFile(tmp_path / "resume.safetensors", IDENTITY)
    assert file.load(TENSORS) is None
    file.save(STATE)
    loaded = file.load(TENSORS)
    assert replace(loaded, tensors={}) == replace(STATE, tensors={})
    assert loaded.tensors.keys() == TENSORS.keys()
    assert torch.equal(loaded.tensors["ema/0"], TENSORS["ema/0"])
    file.remove()
    assert not list(tmp_path.iterdir()) and file.load(TENSORS) is None


@pytest.mark.parametrize("key", list(IDENTITY))
def test_a_state_of_another_training_is_not_used(tmp_path: Path, key: str, capsys) -> None:
    ResumeFile(tmp_path / "resume.safetensors", IDENTITY).save(STATE)
    other = ResumeFile(tmp_path / "resume.safetensors", {**IDENTITY, key: "other"})
    assert other.load(TENSORS) is None
    assert f"resume.safetensors: not resumed from, it is of another {key}" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "like",
    [
        {"ema/0": torch.zeros(5)},
        {"ema/0": torch.zeros(4, dtype=torch.float64)},
        {"ema/1": torch.zeros(4)},
        {},
    ],
)
def test_a_state_of_other_tensors_is_not_used(tmp_path: Path, like: dict, capsys) -> None:
    file = ResumeFile(tmp_path / "resume.safetensors", IDENTITY)
    file.save(STATE)
    assert file.load(like) is None
    assert "its tensors are not those of this training; training anew" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "checkpoint"])
def test_a_damaged_state_is_not_used(tmp_path: Path, damage: str, capsys) -> None:
    file = ResumeFile(tmp_path / "resume.safetensors", IDENTITY)
    checkpoint().save(file.path)
    other = file.path.read_bytes()
    file.save(STATE)
    content = bytearray(file.path.read_bytes())
    content[len(content) // 2] ^= 1
    changed = {"flipped": content, "truncated": content[:-100], "empty": b"", "checkpoint": other}
    file.path.write_bytes(changed[damage])
    assert file.load(TENSORS) is None
    assert "not resumed from, it is damaged; training anew" in capsys.readouterr().err
