"""What lies in an adapter's folder: PEFT's configuration and the header of its tensors.

No weights are read, and no torch is needed. Formats: `adapter_config.json` and
`adapter_model.safetensors` as peft 0.21 writes them.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator
from safetensors import SafetensorError, safe_open

from gateway.core.digests import digest_json, file_digest
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.core.lfs import refuse_pointer
from gateway.core.lists import first_names
from gateway.models.adapters.card import Card, read_card
from gateway.models.adapters.names import EXPORTED, is_probe
from gateway.models.shards import refuse_broken

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"
_BEFORE, _SHARED = "base_model.model.", "base_model."
"""What PEFT puts before the base's own module paths, and before what all its modules share."""
_OWN_PARTS = re.compile(
    r"(lora|hada|lokr|ia3|oft|boft|vera|hra|fourierft|ln_tuning|vblora|miss|randlora|c3a|road"
    r"|trainable_tokens|delora|gralora|waveft|prompt)_|(base_layer|modules_to_save|token_adapter)$"
)
"""Names of what PEFT adds to a module."""

_OF_TOKENS = "token_adapter"
"""What PEFT puts around an embedding of which a LoRA changes some tokens, and its part inside."""
_AROUND = ("base_layer", "modules_to_save", _OF_TOKENS)

_Rank = Annotated[int, Strict(), Field(ge=1)]
_Alpha = Annotated[float, Strict(), Field(allow_inf_nan=False)]


class PeftConfig(BaseModel):
    """adapter_config.json: what all types have, and what LoRA computes with.

    Other keys are in `model_extra`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    peft_type: str
    base_model_name_or_path: str | None = None
    r: Annotated[int, Strict(), Field(ge=0)] | None = None
    lora_alpha: _Alpha | None = None
    use_rslora: bool = False
    rank_pattern: dict[str, _Rank] | None = None
    alpha_pattern: dict[str, _Alpha] | None = None

    @model_validator(mode="after")
    def _lora_has_a_rank(self) -> Self:
        if self.peft_type == "LORA" and (not self.r or self.lora_alpha is None):
            raise ValueError("a LORA has a rank r and a lora_alpha")
        return self

    def rank(self, module: str) -> int:
        """Of one module, as PEFT chooses it: `r` unless a pattern says another."""
        return int(_by_pattern(self.rank_pattern or {}, module, self.r or 0))

    def scale(self, module: str) -> float:
        """What PEFT multiplies lora_B @ lora_A by: alpha / rank, or alpha / sqrt(rank) with rsLoRA
        (Kalajdzievski 2023, arXiv:2312.03732)."""
        alpha = _by_pattern(self.alpha_pattern or {}, module, self.lora_alpha or 0.0)
        rank = self.rank(module)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def _by_pattern(patterns: Mapping[str, float], module: str, otherwise: float) -> float:
    """Of the first pattern that a path ends in: `get_pattern_key` of peft/utils/other.py."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return otherwise


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of an adapter, without its numbers."""

    module: str
    """Path of the base's module that it belongs to, such as `model.layers.0.self_attn.q_proj`;
    empty: all of the adapter's modules share it."""
    part: str
    """What it is there: `lora_A`, `lora_B`, ..., or `weight` for a module saved whole."""
    shape: tuple[int, ...]
    dtype: str
    """As safetensors names it: F32, BF16, ..."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter's folder, read."""

    folder: Path
    config: PeftConfig
    tensors: Mapping[str, Tensor]
    """By the name in the file."""
    card: Card | None

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.folder.name

    @property
    def parameters(self) -> int:
        """Numbers in its tensors: what was trained."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def exported(self) -> Path | None:
        """Its GGUF file for llama.cpp, where there is one."""
        path = self.folder / EXPORTED
        return path if path.is_file() else None


def read_adapter(folder: Path) -> Adapter:
    """Read configuration, card and the header of the tensors.

    Raises:
        ModelLoadError: a file is absent or no safetensors; a pickle runs code and is not read.
        ConfigError: the configuration or the card is not readable.
    """
    config = read_peft_config(folder / CONFIG)
    return Adapter(folder, config, _read_header(folder / WEIGHTS), read_card(folder))


def card_of(folder: Path) -> Card | None:
    """The card of an adapter or of a probe. Raises as `read_adapter`."""
    return read_card(folder) if is_probe(folder) else read_adapter(folder).card


def adapter_digest(folder: Path) -> str:
    """SHA-256 over an adapter's weights and configuration.

    Raises:
        ModelLoadError: one of them is absent.
    """
    files = [folder / WEIGHTS, folder / CONFIG]
    try:
        return digest_json([file_digest(file) for file in files])
    except OSError as exc:
        raise ModelLoadError(f"{exc.filename}: cannot be read: {exc.strerror}") from exc


def read_peft_config(path: Path) -> PeftConfig:
    """Read an `adapter_config.json`.

    Raises:
        ModelLoadError: it is absent.
        ConfigError: it is not readable, or a value is none that the key can have.
    """
    if not path.is_file():
        raise ModelLoadError(f"{path}: no such file", hint=_where(path.parent))
    refuse_pointer(path)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        config = PeftConfig.model_validate(raw)
        for pattern in [*(config.rank_pattern or {}), *(config.alpha_pattern or {})]:
            re.compile(pattern)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {where}: {first['msg']}".replace(": :", ":")) from exc
    except (OSError, ValueError, re.error) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc
    return config


def _where(folder: Path) -> str:
    """Where an adapter is, if not in this folder: training keeps checkpoints in folders below."""
    below = sorted(each.parent.relative_to(folder) for each in folder.glob(f"*/{CONFIG}"))
    if not below:
        return "a folder that PEFT has saved"
    return f"adapters lie in folders below it: {first_names(list(map(str, below)))}; name one"


def _read_header(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        pickled = path.with_name(_PICKLE)
        more = f"; {pickled.name} is a pickle and is not read" if pickled.is_file() else ""
        raise ModelLoadError(
            f"{path}: no such file{more}",
            hint="save it with PEFT's save_pretrained, which writes safetensors",
        )
    refuse_broken(path)
    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in sorted(file.keys())}
            return {
                name: Tensor(*place(name), tuple(each.get_shape()), str(each.get_dtype()))
                for name, each in slices.items()
            }
    except (SafetensorError, OSError) as exc:
        raise ModelLoadError(f"{path}: no readable safetensors: {exc}") from exc


def misnamed(name: str) -> str:
    """Why PEFT finds no place for a tensor of this name, whatever the base; empty: it may.

    It puts its prefix before every name, and never the adapter's own into a file's.
    """
    if name == "prompt_embeddings":
        return ""
    if not name.startswith(_SHARED):
        return f"{name} does not begin with {_BEFORE}, as PEFT's names do"
    parts, own = _parts(name)
    inside = parts[own] in _AROUND
    if not inside and parts[own + 1 :] not in ([], ["weight"], ["bias"]):
        return f"{name} has more behind {parts[own]} than PEFT saves, such as an adapter's name"
    return ""


def place(name: str) -> tuple[str, str]:
    """Module and part of a tensor by its name in the file."""
    parts, own = _parts(name)
    part = parts[own + 1] if parts[own] == _OF_TOKENS and parts[own + 1 :] else parts[own]
    return ".".join(parts[:own]), part


def _parts(name: str) -> tuple[list[str], int]:
    """Its parts behind PEFT's prefix, and which of them is the first of PEFT's own."""
    parts = name.removeprefix(_BEFORE).removeprefix(_SHARED).split(".")
    own = next((n for n, part in enumerate(parts) if _OWN_PARTS.match(part)), len(parts) - 1)
    return parts, own
