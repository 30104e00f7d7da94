"""Models that transformers builds from a shipped description alone."""

from dataclasses import replace
from typing import Any

from gateway.tuning.plan.architecture import Architecture

GIANT = 1e9
"""Weights from which on a model is built with one and with two layers only."""


def config_of(a: Architecture, **changes: Any) -> Any:
    """transformers' configuration."""
    from transformers import AutoConfig

    return AutoConfig.for_model(
        a.model_type,
        hidden_size=a.hidden,
        num_hidden_layers=a.layers,
        num_attention_heads=a.heads,
        num_key_value_heads=a.kv_heads,
        head_dim=a.head_dim,
        intermediate_size=a.intermediate,
        vocab_size=a.vocabulary,
        tie_word_embeddings=a.tied,
        attention_bias=a.attention_bias,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
        **changes,
    )


def build(a: Architecture, layers: int, device: str = "meta", **options: Any) -> Any:
    """The model with so many layers."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device(device):
        return AutoModelForCausalLM.from_config(config_of(replace(a, layers=layers)), **options)
