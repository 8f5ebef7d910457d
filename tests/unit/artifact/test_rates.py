"""The choice of steps: bits where they save most, within the budget, the same every time."""

import numpy as np
import pytest
import torch

from fairway.artifact.calibration import gather_hessians
from fairway.artifact.coders.ans import AnsCoder
from fairway.artifact.coders.entropy import integer_bits
from fairway.artifact.container import decode, encode
from fairway.artifact.gptq import Gptq, GptqSettings, quantise_alike, round_with
from fairway.artifact.kinds import storage_kinds
from fairway.artifact.quantization import matrices, quantize
from fairway.artifact.quantized import QuantizedModel
from fairway.artifact.rates import Rounded, Search, choose
from fairway.artifact.sensitivity import row_sensitivities
from fairway.artifact.settings import StepSettings
from fairway.artifact.steps import column_scales, even_steps, prepare_search, some_of
from fairway.model.shapes import state_shapes
from fairway.stage import StageError
from support.tiny_models import CONTEXT, PROVENANCE, TOKENIZER_SHA256, random_tokens, tiny_model

SEQUENCES = random_tokens(20 * CONTEXT).astype(np.int64).reshape(-1, CONTEXT)


def gaussian(rows: int, columns: int, size: float = 1.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def matrix(weight: torch.Tensor, cost: float = 1.0, limit: int = 127) -> Rounded:
    return Rounded(weight, limit, torch.full((len(weight),), cost, dtype=torch.float64))


def spent(tensors: dict[str, Rounded], scales: dict[str, torch.Tensor]) -> float:
    return sum(
        integer_bits(round_with(t.weight, scales[n], t.limit).integers.numpy(), t.limit)
        for n, t in tensors.items()
    )


def test_the_estimate_of_bits_is_that_of_the_coder():
    for size in (0.5, 3.0, 20.0):
        integers = gaussian(300, 200, size).round().clamp(-127, 127).to(torch.int8).numpy()
        coded = 8 * len(AnsCoder().pack("int8", [integers])[1])
        assert integer_bits(integers, 127) == pytest.approx(coded, rel=0.02)
    assert integer_bits(np.zeros((5, 0), np.int8), 31) == 0
    assert integer_bits(np.zeros((5, 4), np.int8), 31) == 0


@pytest.mark.parametrize("bits", [3.0, 4.0, 5.0])
def test_the_budget_is_kept_and_used(bits):
    tensors = {str(i): matrix(gaussian(100, 80, seed=i), cost=4.0**i) for i in range(6)}
    weights = 6 * 100 * 80
    found = Search(tensors, {}).choice(bits)
    assert 0.97 * bits * weights < spent(tensors, found.scales) <= bits * weights
    again = Search(tensors, {}).choice(bits)
    assert all(torch.equal(found.scales[name], again.scales[name]) for name in tensors)


def test_what_matters_four_times_as_much_gets_half_the_step():
    tensors = {str(i): matrix(gaussian(200, 200, seed=i), cost=4.0**i) for i in range(3)}
    found = Search(tensors, {}).choice(4.0)
    steps = [float(scale[0]) for scale in found.scales.values()]
    assert steps[0] / steps[1] == pytest.approx(2, rel=0.2)
    assert steps[1] / steps[2] == pytest.approx(2, rel=0.2)


def test_rows_that_matter_less_get_longer_steps_and_none_is_clipped():
    rows = torch.tensor([1.0, 4.0, 16.0], dtype=torch.float64)
    scales = Rounded(gaussian(3, 50), 127, rows).scales(0.1)
    assert float(scales[0] / scales[2]) == pytest.approx(4, rel=0.01)
    weight = gaussian(3, 50)
    weight[1] *= 100
    scale = Rounded(weight, 31, torch.ones(3, dtype=torch.float64)).scales(0.01)
    assert (round_with(weight, scale, 31).dequantise() - weight).abs().max() < scale.max()


def test_fewest_nats_of_all_choices_within_the_budget():
    generator = np.random.default_rng(0)
    for _ in range(50):
        curves = []
        for _ in range(3):
            bits = np.sort(generator.uniform(0, 10, 5))
            nats = np.sort(generator.uniform(0, 1, 5))[::-1]
            curves.append(list(zip(nats.tolist(), bits.tolist(), strict=True)))
        budget = 18.0
        chosen = choose(curves, budget)
        total = np.sum([curve[i] for curve, i in zip(curves, chosen, strict=True)], axis=0)
        every = np.array(
            [
                np.add(np.add(a, b), c)
                for a in curves[0] for b in curves[1] for c in curves[2]
            ]
        )  # fmt: skip
        best = every[every[:, 1] <= budget, 0].min(initial=np.inf)
        if np.isfinite(best):
            assert total[1] <= budget and total[0] <= best + 0.5
            lower = every[every[:, 1] <= total[1], 0].min()
            assert total[0] <= lower + 0.5


def test_columns_that_matter_less_get_longer_steps():
    left = torch.tensor([1.0, 4.0, 16.0, 1e-9], dtype=torch.float64)
    found = column_scales(left, torch.tensor([False, False, False, True])).double()
    assert found[0] / found[1] == pytest.approx(2, rel=0.01) == found[1] / found[2]
    assert found[3] == 1


def test_steps_of_columns_leave_less_error_at_the_same_bits():
    """Inputs of very different sizes, GPTQ with and without steps of the columns."""
    sizes = 4.0 ** torch.linspace(-3, 3, 48, dtype=torch.float64)
    inputs = Gptq(48)
    inputs.total, inputs.inputs = torch.diag(sizes), 1
    weight, costs = gaussian(200, 48), {}
    for way, divisor in (("plain", torch.ones(48)), ("columns", column_scales(sizes, sizes <= 0))):
        scaled, divided = inputs.scaled(divisor), weight / divisor.double()
        scale = torch.full((200,), 0.25).half()
        result = quantise_alike({"w": (scaled, divided)}, GptqSettings(), {"w": scale}, 127)["w"]
        bits = integer_bits(result.weight.integers.numpy(), 127) / weight.numel()
        costs[way] = bits + 0.5 * np.log2(result.report["error"])  # a bit less, 4 times the error
    assert costs["columns"] < costs["plain"] - 0.5, costs


def test_too_small_a_budget_is_one_line():
    with pytest.raises(StageError, match=r"bits_per_weight: 0\.1; these tensors take at least"):
        Search({"a": matrix(gaussian(50, 50))}, {}).choice(0.1)


def test_the_fewest_and_the_most_bits_are_those_of_the_ends():
    search = Search({str(i): matrix(gaussian(100, 80, seed=i), cost=4.0**i) for i in range(3)}, {})
    fewest, most = search.bits
    assert 0.5 < fewest < 1.5 and 6.5 < most < 8 and search.weights == 3 * 100 * 80
    with pytest.raises(StageError, match="take at least"):
        search.choice(0.99 * fewest)
    assert spent_by(search, fewest) <= fewest < spent_by(search, most) <= most
    assert spent_by(search, 2 * most) == spent_by(search, most)


def spent_by(search: Search, bits: float) -> float:
    report = search.choice(bits).report.values()
    return sum(found["bits_per_weight"] for found in report) / len(report)


def test_sensitivities_are_mean_squared_gradients_and_half_a_use_more():
    model, name = tiny_model(), "token_embedding"
    found = row_sensitivities(model, [name, "blocks.0.v.weight"], SEQUENCES)
    assert found["blocks.0.v.weight"].shape == (16,)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    parameter = model.get_parameter(name).requires_grad_(True)
    squares = torch.zeros(len(parameter), dtype=torch.float64)
    for sequence in torch.from_numpy(SEQUENCES):
        logs = torch.log_softmax(model(sequence[None, :-1])[0], dim=-1)
        loss = -logs[torch.arange(len(sequence) - 1), sequence[1:]].sum()
        (gradient,) = torch.autograd.grad(loss, parameter)
        squares += gradient.square().sum(dim=1).double()
    targets = len(SEQUENCES) * (CONTEXT - 1)
    expected = squares / targets
    expected += 0.5 * expected.mean() * len(expected) / targets
    torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=1e-9)


def test_gradients_are_of_the_beginnings_of_some_sequences():
    text = np.arange(300 * 2048).reshape(300, 2048)
    assert np.array_equal(some_of(text, 32_000), text[::3, :320])
    assert np.array_equal(some_of(text[:128], 32_768), text[:128, :256])
    assert np.array_equal(some_of(text[:128, :100], 32_768), text[:128, :100])
    assert np.array_equal(some_of(text, 1), text[::3, :2])


def test_rows_that_the_text_never_uses_matter_least_but_something():
    rows = row_sensitivities(tiny_model(), ["value_embedding.embedding"], SEQUENCES)
    rows = rows["value_embedding.embedding"]
    unused = np.setdiff1d(np.arange(300), SEQUENCES[:, :-1])
    assert len(unused) and bool((rows[unused] == rows.min()).all()) and float(rows.min()) > 0


def test_two_ways_to_choose_at_once_are_refused():
    with pytest.raises(StageError, match=r"clip_sigmas: .* beside bits_per_weight 4\.0; expected"):
        StepSettings((8.0, 20.0), 4.0)
    with pytest.raises(StageError, match=r"bits_per_weight: 4\.0 beside packed_bytes 100; expe"):
        StepSettings(None, 4.0, 100)


@pytest.mark.parametrize("settings", [StepSettings((8.0, 20.0)), StepSettings(None, 4.0)])
def test_a_model_with_chosen_steps_is_smaller_than_by_percentiles(settings, tmp_path):
    model = tiny_model()
    hessians = gather_hessians(model, matrices(model), SEQUENCES, 4)
    kinds = storage_kinds(state_shapes(model.config), 100)
    if settings.searched:
        search = prepare_search(model, hessians, kinds, SEQUENCES, SEQUENCES.size, 0.01)
        choice = search.choice(settings.bits_per_weight)
    else:
        choice = even_steps(model, kinds, settings.clip_sigmas)
    sizes = {}
    for way, steps in (("chosen", choice), ("percentiles", None)):
        found, report = quantize(
            model, dict(hessians), GptqSettings(block=16), 100, TOKENIZER_SHA256, PROVENANCE,
            steps, 6,
        )  # fmt: skip
        kinds = {found.stored.kinds[name] for name in matrices(model)}
        assert kinds == {"int8" if steps and settings.searched else "int6"}
        found.save(tmp_path / way)
        packed, state = encode(found.stored, "ans"), found.stored.state()
        for same in (QuantizedModel.load(tmp_path / way).stored, decode(packed, way)):
            assert same.state().keys() == state.keys()
            assert all(torch.equal(tensor, state[name]) for name, tensor in same.state().items())
        sizes[way] = len(packed)
        assert all(0 <= layer["error"] < 0.5 for layer in report)
        low = found.stored.tensors["layers.0.deviations.q.a"].view(torch.int16)
        assert bool((low & 15 == 0).all())
    assert sizes["chosen"] < sizes["percentiles"]
