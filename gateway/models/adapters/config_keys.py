"""Keys of adapter_config.json that this version of PEFT does not know, and would leave out.

A key that asks for nothing is passed over, and one that only tells of the training is told. Any
other would change what the adapter computes, or may: it is refused, since the numbers were trained
with it.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway.core.lists import first_names
from gateway.models.adapters.kinds import PLAIN_STARTS, UNMOVED

_OF_ALL = """auto_mapping base_model_name_or_path inference_mode peft_type peft_version revision
task_type"""
_LORA = """
alora_invocation_tokens alpha_pattern arrow_config bias corda_config ensure_weight_tying
eva_config exclude_modules fan_in_fan_out init_lora_weights kasa_config layer_replication
layers_pattern layers_to_transform loftq_config lora_alpha lora_bias lora_dropout lora_ga_config
megatron_config megatron_core modules_to_save monteclora_config qalora_group_size r rank_pattern
runtime_config target_modules target_parameters trainable_token_indices use_bdlora use_dora
use_qalora use_rslora velora_config
"""
_PROMPT = """modules_to_save num_attention_heads num_layers num_transformer_submodules
num_virtual_tokens token_dim"""
_OF_TYPE = {
    "LORA": _LORA,
    "ADALORA": _LORA
    + " beta1 beta2 deltaT init_r orth_reg_weight target_r tfinal tinit total_step",
    "BOFT": (
        "bias boft_block_num boft_block_size boft_dropout boft_n_butterfly_factor"
        " exclude_modules fan_in_fan_out init_weights layers_pattern layers_to_transform"
        " modules_to_save target_modules"
    ),
    "C3A": (
        "bias block_size block_size_pattern init_weights layers_pattern"
        " layers_to_transform modules_to_save target_modules"
    ),
    "DELORA": (
        "bias delora_lambda exclude_modules init_weights lambda_pattern layers_pattern"
        " layers_to_transform module_dropout modules_to_save r rank_pattern target_modules"
    ),
    "FOURIERFT": (
        "bias exclude_modules fan_in_fan_out init_weights layers_pattern"
        " layers_to_transform modules_to_save n_frequency n_frequency_pattern"
        " random_loc_seed scaling target_modules"
    ),
    "GRALORA": (
        "alpha bias fan_in_fan_out gralora_dropout gralora_k hybrid_r init_weights"
        " layers_pattern layers_to_transform modules_to_save r target_modules"
    ),
    "HRA": (
        "apply_GS bias exclude_modules init_weights layers_pattern layers_to_transform"
        " modules_to_save r target_modules"
    ),
    "IA3": (
        "exclude_modules fan_in_fan_out feedforward_modules init_ia3_weights"
        " modules_to_save target_modules"
    ),
    "LN_TUNING": "exclude_modules modules_to_save target_modules",
    "LOHA": (
        "alpha alpha_pattern exclude_modules init_weights layers_pattern"
        " layers_to_transform module_dropout modules_to_save r rank_dropout rank_pattern"
        " target_modules use_effective_conv2d"
    ),
    "LOKR": (
        "alpha alpha_pattern decompose_both decompose_factor exclude_modules init_weights"
        " layers_pattern layers_to_transform module_dropout modules_to_save r rank_dropout"
        " rank_dropout_scale rank_pattern target_modules use_effective_conv2d"
    ),
    "MISS": (
        "bias exclude_modules init_weights layers_pattern layers_to_transform mini_r"
        " miss_dropout modules_to_save r target_modules"
    ),
    "OFT": (
        "bias block_share coft eps exclude_modules fan_in_fan_out init_weights"
        " layers_pattern layers_to_transform module_dropout modules_to_save"
        " num_cayley_neumann_terms oft_block_size r target_modules use_cayley_neumann"
    ),
    "PREFIX_TUNING": _PROMPT + " encoder_hidden_size init_weights prefix_projection",
    "PROMPT_TUNING": _PROMPT
    + (" prompt_tuning_init prompt_tuning_init_text tokenizer_kwargs tokenizer_name_or_path"),
    "P_TUNING": _PROMPT
    + (" encoder_dropout encoder_hidden_size encoder_num_layers encoder_reparameterization_type"),
    "RANDLORA": (
        "bias fan_in_fan_out init_weights layers_pattern layers_to_transform"
        " modules_to_save projection_prng_key r randlora_alpha randlora_dropout"
        " save_projection sparse target_modules very_sparse"
    ),
    "ROAD": "group_size init_weights modules_to_save target_modules variant",
    "TRAINABLE_TOKENS": "init_weights target_modules token_indices",
    "VBLORA": (
        "bias exclude_modules fan_in_fan_out init_logits_std init_vector_bank_bound"
        " layers_pattern layers_to_transform modules_to_save num_vectors r"
        " save_only_topk_weights target_modules topk vblora_dropout vector_length"
    ),
    "VERA": (
        "bias d_initial fan_in_fan_out init_weights layers_pattern layers_to_transform"
        " modules_to_save projection_prng_key r save_projection target_modules"
        " vera_dropout"
    ),
    "WAVEFT": (
        "bias exclude_modules fan_in_fan_out init_weights layers_pattern"
        " layers_to_transform modules_to_save n_frequency n_frequency_pattern"
        " proportional_parameters random_loc_seed scaling target_modules use_idwt"
        " wavelet_family"
    ),
}
"""Keys beside those of all types, of peft 0.21: the fields of its configuration classes."""
_TOLD = re.compile(
    r"(^|_)(authors?|card|checkpoint|class|comments?|commit|contact|created|data|datasets?|date"
    r"|description|device|dropout|epochs?|eval|experiment|framework|hash|language|learning|library"
    r"|licen[cs]e|link|loss|lr|metadata|metrics?|name|notes?|optimizer|organization|owner|project"
    r"|readme|release|repo|revision|run|score|source|tags?|task|time|timestamp|title|trained"
    r"|trainer|training|transformers|trl|unsloth|url|uuid|version|wandb)($|_)|^seed$"
)
"""Words of keys that tell how an adapter came to be, and not how it computes."""
_PROSE = re.compile(r"\S+\s.*|https?://.*|\d{4}-\d\d-\d\d.*", re.DOTALL)
"""What no program takes for a setting: several words, an address, a date."""


def unknown_keys(config: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Those that may change what the adapter computes, each with its value; and those that do not.

    Args:
        config: all of adapter_config.json.
    """
    known = {*_OF_ALL.split(), *_OF_TYPE.get(str(config.get("peft_type")), "").split()}
    strange = {key: value for key, value in config.items() if key not in known and _asks(value)}
    told = [key for key, value in strange.items() if _only_tells(key, value, config)]
    return [f"{key} = {value!r}" for key, value in strange.items() if key not in told], told


def refusals(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Why an adapter's configuration cannot be followed, a sentence each; none: it can."""
    if str(config.get("peft_type")) not in _OF_TYPE:
        return ()
    if config.get("init_lora_weights") == UNMOVED:
        return (
            f"its configuration says init_lora_weights = {UNMOVED!r}: it belongs to a base that "
            "was changed with it, and was not converted when it was saved",
        )
    return tuple(
        f"its configuration says {said}, which peft does not know and would leave out"
        for said in unknown_keys(config)[0]
    )


def moves_the_base(config: Mapping[str, Any]) -> str:
    """How it changes the base's own weights as PEFT loads it, such as PiSSA; empty: it does not."""
    start = config.get("init_lora_weights")
    moves = isinstance(start, str) and start not in PLAIN_STARTS
    return f"init_lora_weights = {start!r}" if moves else ""


def told(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What of it is passed over, or leaves nothing of it, a sentence each; none: nothing."""
    names = unknown_keys(config)[1]
    said = (f"keys of its configuration that change nothing: {first_names(names)}",) * bool(names)
    idle = config.get("lora_alpha") == 0
    return (*said, *("lora_alpha is 0: its pairs change nothing",) * idle)


def _asks(value: object) -> bool:
    return bool(value) and value != "none"


def _only_tells(key: str, value: object, config: Mapping[str, Any]) -> bool:
    """Also of a setting whose switch is off: `qalora_group_size` beside `use_qalora = false`."""
    switches = [name.removeprefix("use_") for name in config if name.startswith("use_")]
    off = any(key.startswith(each) and not config[f"use_{each}"] for each in switches)
    prose = isinstance(value, str) and _PROSE.fullmatch(value) is not None
    return off or prose or _TOLD.search(key.lower()) is not None
