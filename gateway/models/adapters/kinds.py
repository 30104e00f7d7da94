"""Which of PEFT's types of adapters are run here, and of what kind they are."""

LAYERS = frozenset(
    {"ADALORA", "BOFT", "C3A", "DELORA", "FOURIERFT", "GRALORA", "HRA", "IA3", "LN_TUNING"}
    | {"LOHA", "LOKR", "LORA", "MISS", "OFT", "RANDLORA", "ROAD", "TRAINABLE_TOKENS"}
    | {"VBLORA", "VERA", "WAVEFT"}
)
"""They change layers and nothing else. Not: those whose passes need more than tokens (POLY,
MULTITASK_PROMPT_TUNING, XLORA), that attend otherwise (ADAPTION_PROMPT), that change the base for
good (OSF), or that multiply by sparse matrices, which torch does not check (SHIRA)."""
BEGINNINGS = frozenset({"PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"})
"""They put a beginning before every prompt, and change no layer."""
SUPPORTED = LAYERS | BEGINNINGS
PLAIN_STARTS = frozenset({"gaussian", "eva", "orthogonal", "mica"})
"""Texts of `init_lora_weights` after which the base's own weights are what they were. PiSSA, OLoRA
and others move a part of them into the adapter, when training starts and when PEFT loads it."""
UNMOVED = "lora_ga"
"""The one that moves them when training starts, and not when PEFT loads it."""
