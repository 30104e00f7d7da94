"""The factors of a rotary embedding that a GGUF holds as a tensor, which transformers passes over.

llama.cpp divides a head's frequencies by `rope_freqs` (ggml's `ggml_rope_ext`). Its converter
writes that tensor for Llama 3.1 and 3.2, computed from their `rope_scaling` of type "llama3"
(convert_hf_to_gguf.py, `generate_extra_tensors`). Here it is read back: where that type computes
the same factors, the model's configuration says so.
"""

from typing import Any

import numpy as np

from gateway.models.gguf import Header

NAME = "rope_freqs.weight"
_LOW, _HIGH, _TRAINED = 1.0, 4.0, 8192
"""Of all models with this scaling: its two bounds, and the context that they come from."""
_SAME = 1e-5
"""Relative; the tensor has 32 bits."""


def apply(header: Header, module: Any) -> bool:
    """Have a model turn keys and queries by the factors of its file, if it has some.

    Returns:
        Whether they are applied: not where they are those of another scaling.
    """
    factors = _factors(header)
    if factors is None:
        return False
    config = module.config.get_text_config()
    before = dict(config.rope_parameters)
    config.rope_parameters = {
        **before,
        "rope_type": "llama3",
        "factor": float(factors.max()),
        "low_freq_factor": _LOW,
        "high_freq_factor": _HIGH,
        "original_max_position_embeddings": _TRAINED,
    }
    plain = module.model.rotary_emb
    scaled = type(plain)(config=config)
    found = plain.inv_freq.float().cpu().numpy() / scaled.inv_freq.float().cpu().numpy()
    if found.shape != factors.shape or not np.allclose(found, factors, rtol=_SAME):
        config.rope_parameters = before
        return False
    module.model.rotary_emb = scaled.to(plain.inv_freq.device)
    return True


def _factors(header: Header) -> "np.ndarray[Any, np.dtype[np.float32]] | None":
    tensor = next((each for each in header.tensors if each.name == NAME), None)
    if tensor is None or tensor.type != "F32":
        return None
    file, begin = header.place(tensor)
    return np.fromfile(file, "<f4", count=tensor.weights, offset=begin)
