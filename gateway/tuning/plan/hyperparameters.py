"""Ranges to search, with where they are from, and ranks with what each is for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.tuning.plan.setup import RECIPE, Setup
from gateway.tuning.recipe import DTYPES

_QLORA = "Dettmers et al. 2023, arXiv:2305.14314"
_LORA = "Hu et al. 2021, arXiv:2106.09685"
_LESS = "Biderman et al. 2024, arXiv:2405.09673"
WARM_SHARE = RECIPE.warmup


@dataclass(frozen=True, slots=True)
class Range:
    """One hyperparameter of a LoRA."""

    name: str
    range: str
    begin: str
    """What to begin with."""
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class Rank:
    """What a rank is for."""

    ranks: tuple[int, ...]
    use: str
    source: str


RANKS: Sequence[Rank] = (
    Rank((4, 8), "few labels, a format; little data", f"{_LORA}, table 6: 4 to 8 do as 64 there"),
    Rank((16, 32), "most classification and instruction data", f"{_LORA}, section 7.2"),
    Rank((64,), "instruction data of many kinds, all linear layers", f"{_QLORA}, appendix A"),
    Rank((128, 256), "new domains: code, mathematics; much data", _LESS),
)


@dataclass(frozen=True, slots=True)
class Steps:
    """How long training is."""

    examples: int
    epochs: int
    each: int
    """Steps of the optimizer in an epoch."""
    formula: str

    @property
    def total(self) -> int:
        return self.epochs * self.each

    @property
    def warm_up(self) -> int:
        return math.ceil(WARM_SHARE * self.total)


def steps(examples: int, s: Setup, epochs: int = RECIPE.epochs) -> Steps:
    """Of so many examples, one a sequence."""
    each = math.ceil(examples / (s.batch * s.accumulate * s.devices))
    formula = f"{epochs} x ceil({examples:,} / ({s.batch} x {s.accumulate} x {s.devices}))"
    return Steps(examples, epochs, each, formula)


def ranges(s: Setup) -> tuple[Range, ...]:
    """For a LoRA of that rank."""
    r = s.rank
    return (
        Range("rank", "8 to 64", str(r), "see the ranks below", f"{_QLORA}, appendix A"),
        Range(
            "alpha",
            f"r to 2r: {r} to {2 * r}",
            str(2 * r),
            "the update is scaled by alpha / r: keep their ratio when the rank changes",
            f"{_LESS} (2r); {_LORA}, section 4.1 (r)",
        ),
        Range(
            "dropout",
            "0 to 0.1",
            f"{RECIPE.dropout:g}",
            "more with little data",
            f"{_QLORA}, appendix B.2",
        ),
        Range(
            "learning rate",
            "1e-4 to 5e-4",
            f"{RECIPE.learning_rate:.0e}".replace("e-0", "e-"),
            "the first to search; about ten times that of full training, lower for large models",
            f"{_QLORA}, table 9 (2e-4 to 13B, 1e-4 above); {_LESS}",
        ),
        Range("schedule", "cosine, constant", "cosine", "little difference", _QLORA),
        Range(
            "warm-up",
            "3% to 10% of the steps",
            f"{RECIPE.warmup:.0%}",
            "for the optimizer's averages",
            _QLORA,
        ),
        Range(
            "epochs",
            "1 to 5",
            str(RECIPE.epochs),
            "at most: stop where held-out data gets no better",
            "Taori et al. 2023, Stanford Alpaca (3)",
        ),
        Range(
            "sequences in a step",
            "8 to 64",
            str(RECIPE.batch),
            f"batch x accumulate x devices, now {s.batch * s.accumulate * s.devices}",
            f"{_QLORA}, table 9 (16)",
        ),
        Range(
            "target matrices",
            "all-linear, attention",
            RECIPE.targets,
            "matters more than the rank",
            f"{_QLORA}, section 4, figure 2",
        ),
        Range(
            "numbers of the base",
            ", ".join(DTYPES),
            RECIPE.dtype,
            "a LoRA's memory is given for 16 bits; float32 takes twice that for the base",
            "--dtype of gateway tune",
        ),
    )
