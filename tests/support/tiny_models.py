"""Small random models and texts for tests of what comes after training."""

import numpy as np
import torch

from fairway.artifact.calibration import gather_hessians
from fairway.artifact.gptq import GptqSettings
from fairway.artifact.quantization import QuantizedModel, matrices, quantize
from fairway.model.architecture import ModelConfig
from fairway.model.initialization import initialize
from fairway.model.network import Model

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


def tiny_quantized(seed: int = 0, fp16_below: int = 4096) -> QuantizedModel:
    """A quantised tiny model with tensors of all four kinds."""
    model = tiny_model(seed)
    sequences = random_tokens(20 * CONTEXT, seed).astype(np.int64).reshape(-1, CONTEXT)
    hessians = gather_hessians(model, matrices(model), sequences, 4)
    settings = GptqSettings(block=16)
    return quantize(model, hessians, settings, fp16_below, TOKENIZER_SHA256, PROVENANCE)[0]
