"""How a training is set up, as far as its memory depends on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.core.errors import ConfigError
from gateway.tuning.plan.parameters import Linear
from gateway.tuning.recipe import Recipe

RECIPE = Recipe()
"""What `gateway tune` takes where nothing is said: the plan begins there."""
HALF, SINGLE = 2, 4
"""Bytes of a bfloat16 or float16, and of a float32."""

Method = Literal["full", "lora", "qlora"]
Precision = Literal["bf16", "mixed"]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """What one keeps beside the weights that it trains."""

    states: int
    """Numbers a weight."""
    width: int | None
    """Bytes of each; None: those of the weight."""
    copies: int
    """Of the trained weights, made while it steps. torch's multi-tensor AdamW holds one: the
    documentation of `foreach` says that it takes about sizeof(params) more."""


OPTIMIZERS: Mapping[str, Optimizer] = {
    "adamw": Optimizer(2, None, 1),
    "adamw8bit": Optimizer(2, 1, 0),
    "sgd": Optimizer(0, None, 0),
}
"""adamw8bit: Dettmers et al. 2022 (arXiv:2110.02861); its scales, 4 bytes a block of 256, are left
out. sgd: without momentum."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One training."""

    method: Method
    context: int = RECIPE.max_tokens
    """Tokens of a sequence, padding included."""
    batch: int = 1
    """Sequences in one forward pass on one device."""
    accumulate: int = 1
    """Forward passes before a step."""
    checkpointing: bool = True
    optimizer: str = "adamw"
    precision: Precision = "bf16"
    """Of full training. "bf16": weights, gradients and states of the optimizer; "mixed": all three
    in float32, with bfloat16 copies to compute with (torch.autocast). A LoRA trains its own
    weights in float32, as PEFT makes them, beside frozen ones of 16 bits."""
    rank: int = RECIPE.rank
    targets: tuple[Linear, ...] = ()
    dropout: float = RECIPE.dropout
    double_quantization: bool = True
    """The scales of NF4 are quantized too."""
    upcast: bool = False
    """QLoRA prepared by PEFT's prepare_model_for_kbit_training: weights that are not quantized are
    in float32, and so is what flows from block to block."""
    autocast: bool = True
    """A LoRA reads its inputs in 16 bits, as trainers with torch.autocast have it; without, PEFT
    casts them to the float32 of its weights."""
    devices: int = 1
    stage: int = 0
    """Of ZeRO: 0 divides nothing among the devices."""

    def __post_init__(self) -> None:
        for name in ("context", "batch", "accumulate", "rank", "devices"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint="1 or more")
        if self.optimizer not in OPTIMIZERS:
            known = ", ".join(OPTIMIZERS)
            raise ConfigError(f"optimizer {self.optimizer!r} is not known", hint=f"known: {known}")
        if self.stage not in range(4):
            raise ConfigError(f"ZeRO has no stage {self.stage}", hint="0, 1, 2 or 3")
        if self.method != "full" and not self.targets:
            raise ConfigError("a LoRA without targets trains nothing")

    @property
    def tokens(self) -> int:
        """Of one forward pass on one device."""
        return self.batch * self.context

    @property
    def mixed(self) -> bool:
        return self.method == "full" and self.precision == "mixed"

    @property
    def stream_width(self) -> int:
        """Bytes of a number that flows from block to block."""
        return SINGLE if self.mixed or (self.upcast and self.method == "qlora") else HALF

    @property
    def trained_width(self) -> int:
        """Bytes of a trained weight and of its gradient."""
        return HALF if self.method == "full" and self.precision == "bf16" else SINGLE

    def share(self, from_stage: int) -> int:
        """Among how many devices is divided what ZeRO divides from that stage on."""
        return self.devices if self.stage >= from_stage else 1
