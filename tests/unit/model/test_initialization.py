"""What a new model starts from: every constant of the record that is drawn or set once."""

from collections.abc import Iterator

import pytest
import torch

from fairway.model.initialization import initialize
from fairway.model.network import Model
from support.tiny_models import tiny_config

LARGE = {
    **{"vocabulary": 300, "width": 128, "mlp_width": 192},
    **{"bigram_rows": 512, "bigram_width": 64, "value_embedding_width": 64},
}
DEPTH = 5  # virtual layers of the tiny models


@pytest.fixture(scope="module")
def model() -> Model:
    """As a training starts, at sizes whose every matrix but the LoRA's is at least 64 × 64."""
    return initialize(Model(tiny_config(**LARGE)), torch.Generator().manual_seed(5))


def distance_from_orthogonal(matrix: torch.Tensor) -> float:
    """Largest difference from 1 of a singular value."""
    return (torch.linalg.svdvals(matrix.detach()) - 1).abs().max().item()


def scales(model: Model, name: str) -> Iterator[list[float]]:
    """That parameter's values in every layer that has it."""
    for layer in model.layers:
        if getattr(layer, name, None) is not None:
            yield getattr(layer, name).flatten().tolist()


@pytest.mark.parametrize("name", ["q", "k", "v", "up"])
def test_matrices_that_read_the_stream_are_orthogonal(model: Model, name: str) -> None:
    for block in model.blocks:
        weight = getattr(block, name).weight
        assert min(weight.shape) >= 64 and distance_from_orthogonal(weight) < 1e-4


@pytest.mark.parametrize("name", ["o", "down"])
def test_matrices_that_write_to_the_stream_are_zero(model: Model, name: str) -> None:
    assert all(getattr(block, name).weight.count_nonzero() == 0 for block in model.blocks)


def test_projections_are_orthogonal_the_bigrams_scaled_by_depth(model: Model) -> None:
    assert len(model.layers) == DEPTH
    assert distance_from_orthogonal(model.bigram.projection * (2 * DEPTH) ** 0.5) < 1e-4
    assert distance_from_orthogonal(model.value_embedding.projection) < 1e-4


def test_matrices_narrower_than_64_are_normal_with_variance_of_one_over_inputs() -> None:
    small = initialize(Model(tiny_config(mlp_width=512)), torch.Generator().manual_seed(5))
    weight = small.blocks[0].up.weight  # (512, 32)
    assert weight.std().item() == pytest.approx(32**-0.5, rel=0.05)
    assert distance_from_orthogonal(weight) > 0.1


def test_embeddings_are_drawn_as_wide_as_recorded(model: Model) -> None:
    assert model.token_embedding.std().item() == pytest.approx(0.005, rel=0.03)
    assert model.value_embedding.embedding.std().item() == pytest.approx(0.01, rel=0.03)
    assert model.bigram.embedding.count_nonzero() == 0


def test_scales_of_the_inputs_are_those_of_the_record(model: Model) -> None:
    assert model.bigram.scale.item() == pytest.approx(0.05)
    assert model.value_embedding.scale.item() == pytest.approx(0.1)
    assert torch.sigmoid(model.smear_logit).tolist() == [0.5] * 128  # its logit starts at 0


def test_layers_start_with_the_records_scalars(model: Model) -> None:
    width = 128
    assert list(scales(model, "stream_mix")) == [[1.0] * width] * DEPTH  # m0
    assert list(scales(model, "input_mix")) == [[0.0] * width] * DEPTH  # m1
    assert list(scales(model, "attention_scale")) == [[1.0] * width] * DEPTH
    assert list(scales(model, "mlp_scale")) == [[1.0] * width] * DEPTH
    assert list(scales(model, "query_gain")) == [[1.5] * 4] * DEPTH
    assert list(scales(model, "value_mix")) == [pytest.approx([0.01, 0.99])] * (DEPTH - 1)
    assert list(scales(model, "value_embedding_scale")) == [[1.0]]
    assert model.skip_weights.tolist() == [[1.0] * width] * (DEPTH // 2)


def test_norms_are_divided_by_the_root_of_the_layer(model: Model) -> None:
    expected = [1, 2**-0.5, 3**-0.5, 0.5, 5**-0.5]
    assert [layer.norm_scale for layer in model.layers] == pytest.approx(expected)


def test_deviations_start_at_zero_with_a_drawn_and_gates_as_set(model: Model) -> None:
    assert list(scales(model, "gamma_logit")) == [[-1.0]] * 4
    for layer in model.layers[:4]:
        assert set(layer.deviations) == {"q", "v", "down"}
        for part in layer.deviations.values():
            assert part.b.count_nonzero() == 0
            assert part.a.std().item() == pytest.approx(part.b.shape[1] ** -0.5, rel=0.35)


@pytest.mark.parametrize("sizes", [LARGE, {}], ids=["large", "small"])
def test_weights_come_from_the_generator_alone(sizes: dict[str, int]) -> None:
    first, again, other = (
        initialize(Model(tiny_config(**sizes)), torch.Generator().manual_seed(seed))
        for seed in (5, 5, 6)
    )
    for name, weight in first.named_parameters():
        assert torch.equal(again.get_parameter(name), weight), name
    assert not torch.equal(other.blocks[0].q.weight, first.blocks[0].q.weight)
