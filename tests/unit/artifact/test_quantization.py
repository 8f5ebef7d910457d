"""Which tensor is stored as what, and the file between quantising and packing."""

import json

import pytest
import torch
from safetensors.torch import save_file

from fairway.artifact.calibration import gather_hessians
from fairway.artifact.gptq import GptqSettings
from fairway.artifact.kinds import storage_kinds
from fairway.artifact.quantization import (
    QuantizedModel,
    matrices,
    quantize,
)
from fairway.artifact.storage import RowIntegers
from fairway.files.tensors import load_tensors, save_tensors
from fairway.model.network import Model
from fairway.model.shapes import state_shapes
from fairway.stage import StageError
from support.tiny_models import (
    CONTEXT,
    PROVENANCE,
    TOKENIZER_SHA256,
    random_tokens,
    tiny_config,
    tiny_model,
)
from support.tiny_models import tiny_quantized as quantized_model


def test_kinds_follow_what_a_tensor_is():
    kinds = storage_kinds(state_shapes(tiny_config()), fp16_below=4096)
    expected = {
        **{f"blocks.{b}.{m}.weight": "int6" for b in range(3) for m in "qkvo"},
        **{f"blocks.{b}.{m}.weight": "int6" for b in range(3) for m in ("up", "down")},
        "token_embedding": "int8",  # 300 · 32 values
        "value_embedding.embedding": "float16",  # 300 · 8
        "bigram.embedding": "float16",
        "bigram.projection": "float16",
        "layers.0.deviations.q.a": "float16",
        "skip_weights": "float32",  # 2-D, but a stack of vectors
        "smear_logit": "float32",
        "bigram.scale": "float32",
        "layers.0.gamma_logit": "float32",
        "layers.1.value_mix": "float32",
    }
    assert expected.items() <= kinds.items()
    assert set(kinds) == set(tiny_model().state_dict())


def test_size_decides_for_embeddings_but_never_for_low_rank_factors():
    kinds = storage_kinds(state_shapes(tiny_config()), fp16_below=0)
    assert kinds["bigram.projection"] == kinds["value_embedding.embedding"] == "int8"
    assert kinds["layers.0.deviations.q.a"] == "float16"
    assert (
        storage_kinds(state_shapes(tiny_config()), fp16_below=9600)["token_embedding"] == "float16"
    )
    assert storage_kinds(state_shapes(tiny_config()), fp16_below=9599)["token_embedding"] == "int8"


def test_stored_values_are_near_the_model():
    state, stored = tiny_model().state_dict(), quantized_model().stored
    for name, found in stored.state().items():
        scale = state[name].abs().amax(dim=-1, keepdim=True) if state[name].ndim else state[name]
        step = {"int6": 1 / 31, "int8": 1 / 127, "float16": 2**-10, "float32": 0}
        limit = 3.0 * step[stored.kinds[name]] * scale.abs() + 1e-7
        assert bool(((found - state[name]).abs() <= limit).all()), name
        assert found.dtype == torch.float32


def test_quantised_model_predicts_nearly_the_same():
    model, tokens = tiny_model(), torch.from_numpy(random_tokens(4 * CONTEXT).astype("int64"))
    tokens = tokens.reshape(4, CONTEXT)
    copy = Model(model.config)
    copy.load_state_dict(quantized_model().stored.state())
    before, after = (torch.log_softmax(each(tokens), -1) for each in (model, copy))
    divergence = (before.exp() * (before - after)).sum(-1).mean()
    assert 0 < divergence < 0.01


def test_report_has_every_matrix():
    model = tiny_model()
    sequences = random_tokens(64 * CONTEXT).astype("int64").reshape(-1, CONTEXT)
    hessians = gather_hessians(model, matrices(model), sequences, 16)
    _, report = quantize(model, hessians, GptqSettings(), 4096, TOKENIZER_SHA256, PROVENANCE)
    assert [layer["name"] for layer in report] == list(matrices(model))
    for layer in report:
        assert 0 < layer["error"] < layer["rtn_error"] < 0.01, layer
        assert layer["dampings"] == [0.01]
    assert sum(layer["error"] for layer in report) < 0.9 * sum(r["rtn_error"] for r in report)
    json.dumps(report, allow_nan=False)
    assert all(gptq.total.numel() == 0 for gptq in hessians.values())


def test_file_gives_back_everything(tmp_path):
    saved, path = quantized_model(), tmp_path / "quantized.safetensors"
    saved.save(path)
    found = QuantizedModel.load(path)
    assert found.provenance == PROVENANCE and found.stored.kinds == saved.stored.kinds
    assert list(found.stored.tensors) == list(saved.stored.tensors)
    # as JSON has it: lists for tuples
    assert found.stored.config == json.loads(json.dumps(saved.stored.config))
    for name, tensor in saved.stored.tensors.items():
        other = found.stored.tensors[name]
        if isinstance(tensor, RowIntegers):
            assert torch.equal(tensor.integers, other.integers)
            assert torch.equal(tensor.scale, other.scale)
            continue
        assert tensor.dtype == other.dtype and torch.equal(tensor, other)
    assert found.diagonals.keys() == matrices(tiny_model()).keys()
    first = path.read_bytes()
    quantized_model().save(path)
    assert path.read_bytes() == first


def test_unfinished_and_unfitting_weights_are_named():
    for value, message in ((torch.nan, "not finite"), (1e6, "does not fit float16")):
        model = tiny_model()
        model.bigram.projection[0, 0] = value
        hessians = gather_hessians(tiny_model(), matrices(model), sequences_of_one(), 1)
        with pytest.raises(StageError, match=rf"bigram\.projection: .*{message}"):
            quantize(model, hessians, GptqSettings(), 4096, TOKENIZER_SHA256, PROVENANCE)


def sequences_of_one():
    return random_tokens(CONTEXT).astype("int64").reshape(1, CONTEXT)


def test_file_of_another_kind_is_named(tmp_path):
    path = tmp_path / "quantized.safetensors"
    save_file(tiny_model().state_dict(), path, {"config": "{}"})
    with pytest.raises(StageError, match=r"quantized\.safetensors: has no sha256 in its metadata"):
        QuantizedModel.load(path)
    save_tensors(path, tiny_model().state_dict(), {"config": "{}"})
    with pytest.raises(
        StageError, match=r"quantized\.safetensors: no `tokenizer_sha256`; expected"
    ):
        QuantizedModel.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("scale/blocks.0.q.weight"), "scale/blocks.0.q.weight: missing"),
        (lambda t: t["scale/blocks.0.q.weight"].fill_(torch.nan), "values from nan to nan"),
        (lambda t: t["scale/blocks.0.q.weight"].fill_(-1), "values from -1.0 to -1.0; expected 0"),
        (lambda t: t["integers/blocks.0.q.weight"].fill_(32), "from 32 to 32; expected -31 to 31"),
        (lambda t: t["diagonal/blocks.0.q.weight"].fill_(torch.inf), "values from inf to inf"),
        (lambda t: t["float/smear_logit"].fill_(torch.nan), "smear_logit: values from nan"),
        (lambda t: t.update(x=torch.zeros(1)), "x: not one of the model's tensors"),
        (
            lambda t: t.update({"diagonal/blocks.0.q.weight": torch.zeros(3)}),
            r"diagonal/blocks.0.q.weight is \[3\] for \[32, 32\]",
        ),
    ],
)
def test_impossible_content_with_the_right_checksum_is_named(tmp_path, change, message):
    path = tmp_path / "quantized.safetensors"
    quantized_model().save(path)
    tensors, metadata = load_tensors(path)
    change(tensors)
    save_tensors(path, tensors, metadata)
    with pytest.raises(StageError, match=rf"quantized\.safetensors: .*{message}"):
        QuantizedModel.load(path)
