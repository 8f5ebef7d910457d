"""Small random models and texts for tests of what comes after training."""

import numpy as np
import torch

from fairway.artifact.calibration import gather_hessians
from fairway.artifact.gptq import GptqSettings
from fairway.artifact.kinds import storage_kinds
from fairway.artifact.quantization import FP16_MANTISSA, QuantizedModel, matrices, quantize
from fairway.artifact.steps import prepare_search
from fairway.model.architecture import ModelConfig
from fairway.model.initialization import initialize
from fairway.model.network import Model
from fairway.model.shapes import state_shapes

VOCABULARY = 300
CONTEXT = 24
TOKENIZER_SHA256 = "5" * 64
PROVENANCE = {"train_model": "1" * 64, "quantize_model": "2" * 64, "seed": 7}


def tiny_config(**changes: object) -> ModelConfig:
    """Two shared blocks run twice with LoRA, then one of its own."""
    sizes = {"vocabulary": VOCABULARY, "width": 32, "heads": 4, "kv_heads": 2, "mlp_width": 48}
    rope = {"rope_dims": 4, "rope_base": 1e4, "rope_train_length": 64, "rope_context": CONTEXT}
    embeddings = {"bigram_rows": 64, "bigram_width": 8, "value_embedding_width": 8}
    layers = {"unique_blocks": 1, "shared_blocks": 2, "loops": 2, "lora_rank": 2}
    rest = {
        "value_embedding_layers": (4,),
        "logit_cap": 30.0,
        "lora_matrices": ("q", "v", "down"),
        "gamma_init": -1.0,
    }
    return ModelConfig(**{**sizes, **rope, **embeddings, **layers, **rest, **changes})


def tiny_model(seed: int = 0, **changes: object) -> Model:
    """A model whose every tensor is random, so that nothing is multiplied by 0 or 1."""
    return random_model(tiny_config(**changes), seed)


def random_model(config: ModelConfig, seed: int = 0) -> Model:
    """As tiny_model, of any size."""
    generator = torch.Generator().manual_seed(seed)
    model = initialize(Model(config), generator)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor += 0.1 * torch.randn(tensor.shape, generator=generator)
        model.token_embedding *= 5  # logits that differ
    return model.eval().requires_grad_(False)


def random_tokens(count: int, seed: int = 0) -> np.ndarray:
    """uint16 (count,), below the vocabulary."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, VOCABULARY, count).astype(np.uint16)


def tiny_quantized(
    seed: int = 0, fp16_below: int = 4096, searched: bool = False
) -> QuantizedModel:
    """A quantised tiny model with tensors of all four kinds.

    searched: its steps are, as in the shipped configurations. Then the matrices' columns have
    scales too, all integers are int8, and fp16 have six bits of mantissa.
    """
    model = tiny_model(seed)
    sequences = random_tokens(20 * CONTEXT, seed).astype(np.int64).reshape(-1, CONTEXT)
    hessians = gather_hessians(model, matrices(model), sequences, 4)
    choice, settings = None, GptqSettings(block=16)
    if searched:
        kinds = storage_kinds(state_shapes(model.config), fp16_below)
        search = prepare_search(
            model, hessians, kinds, sequences, sequences.size, settings.damping
        )
        choice = search.choice(bits_per_weight=4.0)
    about = fp16_below, TOKENIZER_SHA256, PROVENANCE, choice, 6 if searched else FP16_MANTISSA
    return quantize(model, hessians, settings, *about)[0]
