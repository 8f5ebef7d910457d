"""GPTQ against what the method promises: rounding error, fed forward, costs less output error."""

import pytest
import torch

from fairway.artifact.gptq import Gptq, GptqSettings, quantise_alike, round_rows
from fairway.artifact.kinds import INT6_LIMIT
from fairway.stage import StageError

ROWS, COLUMNS = 40, 96


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def correlated_inputs(rank: int, noise: float, count: int = 2000) -> torch.Tensor:
    """Inputs (count, COLUMNS) in a space of `rank` dimensions, and independent noise."""
    return random(count, rank) @ random(rank, COLUMNS, seed=1) + noise * random(
        count, COLUMNS, seed=2
    )


def with_inputs(*batches: torch.Tensor) -> Gptq:
    gptq = Gptq(batches[0].shape[-1])
    for batch in batches:
        gptq.add_batch(batch)
    return gptq


def with_hessian(hessian: torch.Tensor) -> Gptq:
    gptq = Gptq(len(hessian))
    gptq.total, gptq.inputs = hessian.double(), 1
    return gptq


def output_error(weight: torch.Tensor, stored, inputs: torch.Tensor) -> float:
    return float(((weight - stored.dequantise()) @ inputs.T).square().sum())


def test_hessian_is_the_mean_over_all_batches():
    inputs = random(3, 50, COLUMNS)
    gptq = with_inputs(inputs[0], inputs[1:])
    flat = inputs.flatten(0, 1).double()
    assert gptq.inputs == 150
    torch.testing.assert_close(gptq.hessian(), flat.T @ flat / 150, rtol=1e-5, atol=1e-6)


def test_inputs_of_divided_columns_are_those_multiplied():
    inputs, columns = random(50, COLUMNS), (random(COLUMNS, seed=1).abs() + 0.5).half()
    expected = with_inputs(inputs.double() * columns.double()).hessian()
    found = with_inputs(inputs).scaled(columns)
    torch.testing.assert_close(found.hessian(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [7, 32, 128])
def test_beats_rounding_on_correlated_inputs(block):
    inputs, weight = correlated_inputs(24, 0.1), random(ROWS, COLUMNS, seed=3)
    settings = GptqSettings(block=block)
    result = with_inputs(inputs).quantise(weight, settings, "w")
    report = result.report
    assert report["error"] < 0.5 * report["rtn_error"]
    # the report's errors are those of the layer's outputs
    measured = output_error(weight, result.weight, inputs)
    assert report["error"] == pytest.approx(measured / float((weight @ inputs.T).square().sum()))
    candidates = round_rows(weight, settings.clip_percentiles, INT6_LIMIT)
    assert measured < 0.5 * min(output_error(weight, each, inputs) for each in candidates)


def by_brain_surgeon(weight: torch.Tensor, hessian: torch.Tensor, scale: torch.Tensor):
    """The paper's equations 2 and 3, one column at a time with an explicit inverse."""
    hessian = hessian + 0.01 * hessian.diagonal().mean() * torch.eye(COLUMNS)
    weight, inverse = weight.double(), torch.linalg.inv(hessian)
    integers = torch.zeros(weight.shape, dtype=torch.int8)
    for column in torch.argsort(hessian.diagonal(), descending=True).tolist():
        values = (weight[:, column] / scale).round().clamp(-INT6_LIMIT, INT6_LIMIT)
        integers[:, column] = values.to(torch.int8)
        error = (weight[:, column] - values * scale) / inverse[column, column]
        weight = weight - torch.outer(error, inverse[column])
        gone = torch.outer(inverse[:, column], inverse[column]) / inverse[column, column]
        inverse = inverse - gone
    return integers


def test_equals_the_papers_update_in_order_of_falling_diagonal():
    inputs = correlated_inputs(24, 0.1) * torch.linspace(0.5, 2, COLUMNS)
    weight = random(ROWS, COLUMNS, seed=3)
    gptq = with_inputs(inputs)
    found = gptq.quantise(weight, GptqSettings(block=32, clip_percentiles=(1.0,)), "w").weight
    expected = by_brain_surgeon(weight, gptq.hessian(), found.scale.double())
    assert (found.integers == expected).float().mean() > 0.999


def test_block_size_changes_nothing_but_speed():
    inputs, weight = correlated_inputs(24, 0.1), random(ROWS, COLUMNS, seed=3)
    stored = [
        with_inputs(inputs).quantise(weight, GptqSettings(block=block), "w").weight.integers
        for block in (1, 10, COLUMNS)
    ]
    # rounding of sums may move a value that lies between two integers
    assert (stored[0] == stored[1]).float().mean() > 0.999
    assert (stored[0] == stored[2]).float().mean() > 0.999


def test_identity_hessian_is_rounding_to_nearest():
    weight = random(ROWS, COLUMNS)
    result = with_hessian(torch.eye(COLUMNS)).quantise(weight, GptqSettings(), "w")
    assert result.report["error"] == result.report["rtn_error"] > 0
    (nearest,) = round_rows(weight, (1.0,), INT6_LIMIT)
    only = with_hessian(torch.eye(COLUMNS)).quantise(
        weight, GptqSettings(clip_percentiles=(1.0,)), "w"
    )
    assert torch.equal(only.weight.integers, nearest.integers)
    assert torch.equal(only.weight.scale, nearest.scale)


def test_integers_and_scales_are_as_stored():
    weight = random(ROWS, COLUMNS) * torch.logspace(-6, 3, ROWS)[:, None]
    result = with_inputs(correlated_inputs(96, 0.1)).quantise(weight, GptqSettings(), "w")
    stored = result.weight
    assert stored.integers.dtype == torch.int8 and stored.scale.dtype == torch.float16
    assert stored.integers.abs().amax(dim=1).max() == INT6_LIMIT
    difference = (weight - stored.dequantise()).abs().amax(dim=1)
    assert bool((difference <= 0.25 * weight.abs().amax(dim=1)).all())


def test_rank_deficient_hessian_is_survived():
    inputs = correlated_inputs(8, 0.0, count=20)  # fewer inputs than columns, in 8 dimensions
    result = with_inputs(inputs).quantise(random(ROWS, COLUMNS), GptqSettings(), "w")
    assert result.report["dampings"] == [0.01]
    assert result.report["error"] < 0.05 * result.report["rtn_error"]


def test_indefinite_hessian_climbs_the_recorded_ladder():
    inputs = correlated_inputs(8, 0.0)
    hessian = inputs.T @ inputs / len(inputs)
    hessian -= 0.05 * hessian.diagonal().mean() * torch.eye(COLUMNS)
    result = with_hessian(hessian).quantise(random(ROWS, COLUMNS), GptqSettings(), "w")
    assert result.report["dampings"] == [0.01, 0.1]


def test_hopeless_hessian_is_one_clear_error():
    hessian = torch.full((4, 4), 1e12) - torch.diag(torch.full((4,), 1e12 - 1))
    with pytest.raises(StageError, match=r"blocks\.0\.q.*not positive definite"):
        with_hessian(hessian).quantise(random(3, 4), GptqSettings(), "blocks.0.q")
    hessian[0, 0] = torch.nan
    with pytest.raises(StageError, match=r"blocks\.0\.q.*not finite"):
        with_hessian(hessian).quantise(random(3, 4), GptqSettings(), "blocks.0.q")


def test_dead_columns_become_zero_and_are_counted():
    inputs = correlated_inputs(24, 0.1)
    inputs[:, [3, 50]] = 0
    weight = random(ROWS, COLUMNS)
    weight[:, 3] = 100  # would ruin the scales if it counted
    result = with_inputs(inputs).quantise(weight, GptqSettings(), "w")
    assert result.report["dead_columns"] == 2
    assert not result.weight.integers[:, [3, 50]].any()
    assert result.report["error"] < 0.01
    assert result.diagonal[3] == 0 < result.diagonal[4]


def test_unused_matrix_gives_zeros():
    result = with_inputs(torch.zeros(5, COLUMNS)).quantise(
        random(ROWS, COLUMNS), GptqSettings(), "w"
    )
    assert result.report["dead_columns"] == COLUMNS
    assert result.report["error"] == result.report["rtn_error"] == 0
    assert not result.weight.integers.any()


def test_each_row_keeps_its_best_clip():
    inputs, weight = random(2000, COLUMNS), random(ROWS, COLUMNS)
    weight[:5, 0] = 40  # an outlier that clipping would hurt
    settings = GptqSettings(clip_percentiles=(0.5, 0.9, 1.0))
    result = with_inputs(inputs).quantise(weight, settings, "w")
    assert sum(result.report["clips"].values()) == ROWS
    alone = [
        with_inputs(inputs).quantise(weight, GptqSettings(clip_percentiles=(clip,)), "w")
        for clip in settings.clip_percentiles
    ]
    assert result.report["error"] < min(other.report["error"] for other in alone) + 1e-12
    assert bool((result.weight.integers[:5, 0] == INT6_LIMIT).all())
    assert result.report["clips"]["1.0"] >= 5


def test_scale_beyond_fp16_is_refused():
    with pytest.raises(StageError, match="too large for an fp16 scale"):
        round_rows(torch.full((1, 4), 1e8), (1.0,), INT6_LIMIT)


def test_zero_rows_stay_zero():
    (stored,) = round_rows(torch.zeros(2, 4), (1.0,), INT6_LIMIT)
    assert not stored.integers.any() and bool((stored.scale > 0).all())


def test_matrices_of_one_shape_together_are_as_each_alone():
    """Also where their inputs are the same object, or differ."""
    inputs = [with_inputs(correlated_inputs(rank, 0.1)) for rank in (24, 8)]
    pairs = {
        f"matrix {index}": (inputs[index % 2], random(ROWS, COLUMNS, seed=index))
        for index in range(4)
    }
    together = quantise_alike(pairs, GptqSettings(block=40))
    assert list(together) == list(pairs)
    for name, (gptq, weight) in pairs.items():
        alone = gptq.quantise(weight, GptqSettings(block=40), name)
        assert torch.equal(together[name].weight.integers, alone.weight.integers)
        assert torch.equal(together[name].weight.scale, alone.weight.scale)
        assert together[name].report == alone.report


def test_the_factor_is_that_of_all_inputs_so_far():
    gptq = with_inputs(correlated_inputs(24, 0.1))
    first = gptq.solve(0.01, "w")
    assert gptq.solve(0.01, "w") is first
    gptq.add_batch(correlated_inputs(8, 0.1))
    assert gptq.solve(0.01, "w") is not first
    assert gptq.solve(0.1, "w")[2] == [0.1]
