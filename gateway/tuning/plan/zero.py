"""ZeRO: what each stage divides among the devices, and what that saves on each.

Rajbhandari et al. 2020 (arXiv:1910.02054): stage 1 divides the optimizer's states, stage 2 the
gradients too, stage 3 the weights too. Activations are of each device's own batch, and not divided.
FSDP's FULL_SHARD divides what stage 3 does, SHARD_GRAD_OP what stage 2 does.
"""

from dataclasses import dataclass, replace

from gateway.tuning.plan.architecture import Architecture
from gateway.tuning.plan.setup import Setup
from gateway.tuning.plan.training_memory import TrainingMemory, training_memory

DIVIDES = (
    "nothing: each device has all of it",
    "states of the optimizer",
    "states and gradients",
    "states, gradients and weights; each block is gathered while it computes",
)
"""By stage."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage for one training."""

    stage: int
    memory: TrainingMemory
    saved: float
    """Bytes on each device, against stage 0."""

    @property
    def divides(self) -> str:
        return DIVIDES[self.stage]


def stages(a: Architecture, s: Setup) -> tuple[Stage, ...]:
    """All four, on the devices of the setup."""
    made = [training_memory(a, replace(s, stage=stage)) for stage in range(4)]
    return tuple(Stage(n, memory, made[0].total - memory.total) for n, memory in enumerate(made))


def advised(found: tuple[Stage, ...], budget: float) -> Stage | None:
    """The lowest stage that fits into so many bytes on each device, as each costs more
    communication than the one before; None: none does."""
    return next((stage for stage in found if stage.memory.total <= budget), None)
