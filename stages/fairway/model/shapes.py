"""The tensors of a model's state, by arithmetic on its configuration; no torch.

So a file's tensors are checked before any memory is taken, and sizes are known before anything
runs. `fairway.model.network` and `fairway.model.layers` make the tensors.
"""

from collections.abc import Mapping, Sequence

from fairway.model.architecture import ModelConfig
from fairway.stage import StageError

Shapes = dict[str, tuple[int, ...]]
"""Shape of each tensor, by its name in the model's state, in the state's order."""


def state_shapes(config: ModelConfig) -> Shapes:
    """Shape of every tensor in the state of the model."""
    width, values = config.width, config.value_embedding_width
    shapes: Shapes = {
        "token_embedding": (config.vocabulary, width),
        "smear_logit": (width,),
        "skip_weights": (len(config.virtual_layers) // 2, width),
        "bigram.embedding": (config.bigram_rows, config.bigram_width),
        "bigram.projection": (width, config.bigram_width),
        "bigram.scale": (),
    }
    if config.value_embedding_layers:
        shapes |= {
            "value_embedding.embedding": (config.vocabulary, values),
            "value_embedding.projection": (config.kv_width, values),
            "value_embedding.scale": (),
        }
    for block in range(config.blocks):
        for name, shape in config.matrix_shapes.items():
            shapes[f"blocks.{block}.{name}.weight"] = shape
    for layer in range(len(config.virtual_layers)):
        found = _layer_shapes(config, layer)
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in found.items()}
    return shapes


def _layer_shapes(config: ModelConfig, layer: int) -> Shapes:
    """Of one virtual layer, by the name within it."""
    mixes = ("stream_mix", "input_mix", "attention_scale", "mlp_scale")
    shapes: Shapes = dict.fromkeys(mixes, (config.width,)) | {"query_gain": (config.heads,)}
    if layer > 0:
        shapes["value_mix"] = (2,)
    if layer in config.value_embedding_layers:
        shapes["value_embedding_scale"] = (1,)
    if config.virtual_layers[layer] < config.shared_blocks and config.lora_matrices:
        shapes["gamma_logit"] = ()
        for name in dict.fromkeys(config.lora_matrices):
            outputs, inputs = config.matrix_shapes[name]
            shapes[f"deviations.{name}.a"] = (outputs, config.lora_rank)
            shapes[f"deviations.{name}.b"] = (config.lora_rank, inputs)
    return shapes


def require_state(config: ModelConfig, shapes: Mapping[str, Sequence[int]], name: object) -> None:
    """Raise StageError, naming `name` and the first tensor, unless a state fits the model."""
    expected = state_shapes(config)
    for key in sorted(expected.keys() | shapes.keys()):
        found, wanted = shapes.get(key), expected.get(key)
        if wanted is None or found is None or tuple(found) != wanted:
            of_file = "missing" if found is None else f"shape {str(list(found))[:60]}"
            of_model = "no such tensor" if wanted is None else f"shape {list(wanted)}"
            raise StageError(f"{name}: {key[:80]}: {of_file}; its model has {of_model}")
