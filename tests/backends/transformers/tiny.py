"""Models of two layers with random weights, and PEFT adapters of every type on them: their
architecture is real, and a pass takes a millisecond."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

from gateway.backends.transformers.adapter_folder import quiet_peft

SIZES: dict[str, Any] = {
    "vocab_size": 160,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}

MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**SIZES),
    "every head its own keys": lambda: transformers.LlamaConfig(
        **{**SIZES, "num_key_value_heads": 4}
    ),
    "mistral, window of 20": lambda: transformers.MistralConfig(**SIZES, sliding_window=20),
    "gemma 2, softcap and windows": lambda: transformers.Gemma2Config(
        **SIZES, sliding_window=20, query_pre_attn_scalar=16
    ),
    "gemma 3, windows": lambda: transformers.Gemma3TextConfig(
        **SIZES, sliding_window=20, layer_types=["sliding_attention", "full_attention"]
    ),
    "qwen 3": lambda: transformers.Qwen3Config(**SIZES),
}

_BOTH: dict[str, Any] = {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
_LEARNED: dict[str, Any] = {"task_type": "CAUSAL_LM", "num_virtual_tokens": 5}
ADAPTERS: dict[str, Callable[[], Any]] = {
    "LORA": lambda: peft.LoraConfig(r=4, **_BOTH),
    "LORA, DoRA": lambda: peft.LoraConfig(r=4, use_dora=True, **_BOTH),
    "LORA, rank-stabilized": lambda: peft.LoraConfig(r=4, use_rslora=True, **_BOTH),
    "LORA, a head of its own": lambda: peft.LoraConfig(r=4, modules_to_save=["lm_head"], **_BOTH),
    "IA3": lambda: peft.IA3Config(
        target_modules=["k_proj", "down_proj"],
        feedforward_modules=["down_proj"],
        task_type="CAUSAL_LM",
    ),
    "LOHA": lambda: peft.LoHaConfig(r=4, **_BOTH),
    "LOKR": lambda: peft.LoKrConfig(r=4, **_BOTH),
    "ADALORA": lambda: peft.AdaLoraConfig(total_step=10, **_BOTH),
    "OFT": lambda: peft.OFTConfig(oft_block_size=16, **_BOTH),
    "BOFT": lambda: peft.BOFTConfig(boft_block_size=4, **_BOTH),
    "HRA": lambda: peft.HRAConfig(r=4, **_BOTH),
    "VERA": lambda: peft.VeraConfig(r=4, **_BOTH),
    "FOURIERFT": lambda: peft.FourierFTConfig(n_frequency=20, **_BOTH),
    "LN_TUNING": lambda: peft.LNTuningConfig(task_type="CAUSAL_LM", target_modules=["norm"]),
    "VBLORA": lambda: peft.VBLoRAConfig(r=4, num_vectors=8, vector_length=4, topk=2, **_BOTH),
    "MISS": lambda: peft.MissConfig(r=4, **_BOTH),
    "RANDLORA": lambda: peft.RandLoraConfig(r=4, **_BOTH),
    "C3A": lambda: peft.C3AConfig(block_size=16, **_BOTH),
    "ROAD": lambda: peft.RoadConfig(group_size=8, **_BOTH),
    "TRAINABLE_TOKENS": lambda: peft.TrainableTokensConfig(
        token_indices=[5, 6], target_modules=["embed_tokens"], task_type="CAUSAL_LM"
    ),
    "DELORA": lambda: peft.DeloraConfig(r=4, **_BOTH),
    "GRALORA": lambda: peft.GraloraConfig(r=4, gralora_k=2, **_BOTH),
    "WAVEFT": lambda: peft.WaveFTConfig(n_frequency=20, **_BOTH),
    "PROMPT_TUNING": lambda: peft.PromptTuningConfig(**_LEARNED),
    "P_TUNING": lambda: peft.PromptEncoderConfig(encoder_hidden_size=32, **_LEARNED),
    "PREFIX_TUNING": lambda: peft.PrefixTuningConfig(**_LEARNED),
}


def write_model(folder: Path, kind: str = "llama") -> Path:
    """A model with weights drawn from a seed."""
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(MODELS[kind]())
    model.save_pretrained(str(folder))
    return folder


def write_adapter(folder: Path, base: Path, kind: str, seed: int = 0) -> Path:
    """An adapter whose numbers are drawn, so that it changes every answer."""
    with quiet_peft():
        model = peft.get_peft_model(load(base), ADAPTERS[kind]())
        drawn = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for value in model.parameters():
                if value.requires_grad:
                    value.add_(torch.randn(value.shape, generator=drawn) * 0.2)
        model.save_pretrained(str(folder))
    return folder


def load(folder: Path) -> Any:
    """As transformers alone loads it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    return model.eval()


def logits_of(folder: Path, adapter: Path | None, ids: list[int]) -> torch.Tensor:
    """What transformers and PEFT alone compute, shape (tokens, vocabulary)."""
    model = load(folder)
    model.set_attn_implementation("eager")
    with torch.inference_mode(), quiet_peft():
        if adapter:
            model = peft.PeftModel.from_pretrained(model, str(adapter)).eval()
        made: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0]
        return made[-len(ids) :]
