"""An entry of models.toml for llama.cpp."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le, MaxLen

from gateway.core.errors import ConfigError
from gateway.models.choices import USUAL, Settings
from gateway.models.spec import Capabilities, Kernels, ModelSpec

Attention = Literal["auto", "plain", "flash", "tiled"]
STEP = 256
"""Tokens that the library rounds a sequence's memory up to."""
_Share = Annotated[float, Ge(0), Le(1e9)]


@dataclass(frozen=True, slots=True)
class LlamaCppSpec(ModelSpec):
    """A GGUF file that this process runs with llama.cpp."""

    backend: ClassVar = "llama_cpp"
    implementation: ClassVar = "gateway.backends.llama_cpp.backend:LlamaCppBackend"
    extra: ClassVar = "llama-cpp"
    can: ClassVar = Capabilities(reads_folders=False, runs_quantized=True, adapters="gguf")

    attention: Attention = "auto"
    """Which of three invariant ways to attend at "bitwise": "flash" is faster at generating;
    its keys are kept as Q8_0, in little more than half of the memory. "tiled" reads long prompts
    faster, and generates slower. "auto": as `gateway certify --fastest` chose here for the file,
    else "plain"."""
    repack: bool | Literal["auto"] = "auto"
    """Whether weights are laid out anew for the processor: faster, and bitwise for some types on
    some processors, which `gateway certify` tells. "auto": as attention, else false."""
    split: bool | Literal["auto"] = "auto"
    """Whether Q4_1 is computed as Q4_0 and a small product beside it (`llama_cpp.split`): the same
    weights, for which the library may have a faster layout. "auto": as attention, else false."""
    kernels: Kernels = "decode"
    """Which of two invariant ways to multiply K-quants the process takes, the same for all entries:
    "decode" is fast at one token at a time, "prefill" at many."""
    pooling: Literal["auto", "mean", "cls", "last"] = "auto"
    """How a text's states become its vector: "auto", as the file says, and by their mean where it
    says nothing; or by the mean, the first, the last one."""
    normalize: bool = True
    """Vectors have length 1; else they are as the model gives them."""
    gpu_layers: Annotated[int, Ge(0), Le(10_000)] | Literal["auto"] = "auto"
    """How many of a GGUF's last layers lie on a card, the output counted as one; "auto": all that
    fit. Where the library was built for processors, or no card is here, none does."""
    main_gpu: Annotated[int, Ge(0), Le(63)] = 0
    """Number of the card that takes what is not split among several."""
    tensor_split: Annotated[tuple[_Share, ...], MaxLen(64)] = ()
    """Shares of the layers by card; empty: by the cards' free memory."""

    def __post_init__(self) -> None:
        ModelSpec.__post_init__(self)
        if self.attention in ("flash", "tiled") and self.deterministic == "off":
            raise ConfigError(
                f'attention = "{self.attention}" is for deterministic = "bitwise": '
                'with "off" the library chooses'
            )
        if self.split is True and self.adapter is not None:
            raise ConfigError(
                "split: not with an adapter, whose place in the library split weights take",
                hint="leave one of the two out",
            )

    @property
    def chooses(self) -> bool:
        """Whether what was certified as fastest holds for it: an entry that says any of it, or
        promises nothing, is computed as it says."""
        auto = self.attention == self.repack == self.split == "auto"
        return auto and self.deterministic == "bitwise"

    @property
    def pinned(self) -> Settings:
        """What it says, and the usual where it says nothing."""
        attention = USUAL.attention if self.attention == "auto" else self.attention
        return Settings(attention, repack=self.repack is True, split=self.split is True)

    @property
    def context_held(self) -> int:
        """The library takes whole steps of tokens, so that an entry may get more than it says."""
        return -(-self.context_length // STEP) * STEP

    def probed(self, name: str, folder: Path) -> ModelSpec:
        from gateway.models.adapters.probe_kind import answers_with_numbers

        numbers = answers_with_numbers(folder)
        kind = LlamaCppNumberProbeSpec if numbers else LlamaCppProbeSpec
        return kind.like(self, name=name, probe=folder)


@dataclass(frozen=True, slots=True)
class LlamaCppProbeSpec(LlamaCppSpec):
    """The same file with a probe on its hidden states."""

    implementation: ClassVar = "gateway.backends.llama_cpp.probed:ProbedLlamaCpp"
    can: ClassVar = Capabilities(reads_folders=False, runs_quantized=True)

    probe: Path = Path()
    """The adapter's folder that holds it."""

    @property
    def learned_in(self) -> Path:
        return self.probe


@dataclass(frozen=True, slots=True)
class LlamaCppNumberProbeSpec(LlamaCppProbeSpec):
    """The same with a probe that answers with a number."""

    implementation: ClassVar = "gateway.backends.llama_cpp.number_probed:NumberProbedLlamaCpp"
