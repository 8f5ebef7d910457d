"""Calibration: which text is read, and whose inputs are gathered."""

import numpy as np
import pytest
import torch

from fairway.artifact.calibration import calibration_sequences, gather_hessians
from fairway.artifact.quantization import matrices
from fairway.stage import StageError
from support.tiny_models import CONTEXT, random_tokens, tiny_model


def test_sequences_are_spread_over_all_shards():
    shards = [np.arange(1000), 1000 + np.arange(37), 2000 + np.arange(5), 3000 + np.arange(500)]
    sequences = calibration_sequences(shards, 200, 10)
    assert sequences.shape == (20, 10) and sequences.dtype == np.int64
    assert (np.diff(sequences, axis=1) == 1).all()  # contiguous, in one shard
    starts = sequences[:, 0]
    assert (np.diff(starts) > 0).all() and (starts % 10 == 0).all()
    assert 12 <= (starts < 1000).sum() <= 14  # in proportion to its tokens
    assert starts[0] == 0 and starts[-1] >= 3400


def test_short_text_gives_all_it_has_once():
    sequences = calibration_sequences([np.arange(25), np.arange(100, 112)], 10_000, 10)
    assert sequences[:, 0].tolist() == [0, 10, 100]


def test_wanted_tokens_are_rounded_up_to_sequences():
    assert calibration_sequences([np.arange(100)], 11, 10).shape == (2, 10)


def test_text_shorter_than_a_sequence_is_refused():
    with pytest.raises(StageError, match=r"longest shard of 9 tokens.*sequence of 10"):
        calibration_sequences([np.arange(9), np.arange(3)], 100, 10)


def test_shared_blocks_gather_every_virtual_layer():
    model = tiny_model()
    sequences = random_tokens(5 * CONTEXT).astype(np.int64).reshape(5, CONTEXT)
    found = gather_hessians(model, matrices(model), sequences, 2)
    assert found.keys() == matrices(model).keys() and len(found) == 3 * 6
    for name, gptq in found.items():
        reads_like_q = name.endswith((".q.weight", ".k.weight", ".v.weight"))
        assert (gptq is found[f"{name.rsplit('.', 2)[0]}.q.weight"]) == reads_like_q
        uses = 1 if name.startswith("blocks.2.") else 2
        assert gptq.inputs == uses * sequences.size, name
    # the Hessian of a shared block is that of the inputs of both its layers
    seen = []
    down = model.blocks[1].down
    handle = down.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(torch.from_numpy(sequences))
    handle.remove()
    assert len(seen) == 2
    inputs = torch.cat(seen).flatten(0, 1).double()
    expected = inputs.T @ inputs / len(inputs)
    torch.testing.assert_close(
        found["blocks.1.down.weight"].hessian(), expected, rtol=1e-4, atol=1e-5
    )


def test_hessians_of_a_bfloat16_forward_are_not_rounded_themselves():
    model = tiny_model()
    sequences = random_tokens(5 * CONTEXT).astype(np.int64).reshape(5, CONTEXT)
    seen = []
    down = model.blocks[1].down
    handle = down.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    found = gather_hessians(model, matrices(model), sequences, 5, precision="bfloat16")
    handle.remove()
    inputs = torch.cat(seen).flatten(0, 1)
    assert inputs.dtype == torch.bfloat16
    expected = inputs.double().T @ inputs.double() / len(inputs)
    torch.testing.assert_close(
        found["blocks.1.down.weight"].hessian(), expected, rtol=1e-4, atol=1e-5
    )


def test_hooks_are_gone_afterwards_even_after_an_error():
    model = tiny_model()
    with pytest.raises(IndexError):
        gather_hessians(model, matrices(model), np.full((1, CONTEXT), 10**6), 1)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_progress_counts_tokens():
    model, seen = tiny_model(), []
    sequences = random_tokens(5 * CONTEXT).astype(np.int64).reshape(5, CONTEXT)
    gather_hessians(model, matrices(model), sequences, 2, seen.append)
    assert seen == [2 * CONTEXT, 2 * CONTEXT, CONTEXT]
