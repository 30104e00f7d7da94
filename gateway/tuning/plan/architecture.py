"""A model's architecture: the few numbers from which parameters and memory follow.

Read from the shipped families.toml, from a config.json as transformers writes it, or from the
header of a GGUF file.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.adapters.base import GGUF_OF
from gateway.models.gguf import Header
from gateway.models.gguf_parts import read_model

_FAMILIES = Path(__file__).with_name("families.toml")
CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class Traits:
    """What all models of one `model_type` share: modeling_<type>.py of transformers."""

    norms: int = 2
    """RMS norms of a block, as wide as the model."""
    qk_norm: bool = False
    """Queries and keys have a norm each, as wide as a head."""
    qkv_bias: bool = False
    """The projections to queries, keys and values always have biases, the output's has none."""
    fused: bool = False
    """One matrix gives queries, keys and values (qkv_proj), one gate and up (gate_up_proj)."""
    tied: bool = False
    """Where config.json says nothing."""
    head_dim: int | None = None
    """Where config.json says nothing; None: hidden / heads."""
    capped: bool = False
    """Attention's scores pass through a tanh, which no fused attention of torch does."""
    norm_in_float32: bool = False
    """The norm's weights too are multiplied in float32."""


TRAITS: Mapping[str, Traits] = {
    "llama": Traits(),
    "mistral": Traits(),
    "qwen2": Traits(qkv_bias=True),
    "qwen3": Traits(qk_norm=True, head_dim=128),
    "gemma": Traits(tied=True, head_dim=256, norm_in_float32=True),
    "gemma2": Traits(norms=4, tied=True, head_dim=256, capped=True, norm_in_float32=True),
    "gemma3_text": Traits(norms=4, qk_norm=True, tied=True, head_dim=256, norm_in_float32=True),
    "phi3": Traits(fused=True),
}
_TYPE_OF_GGUF = {gguf: ours for ours, gguf in reversed(GGUF_OF.items())} | {"phi3": "phi3"}
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder whose blocks are attention and a gated MLP."""

    name: str
    source: str
    """Repository on huggingface.co, or file."""
    model_type: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    """The output layer has the embedding's weights and none of its own."""
    context: int
    """Tokens that it was trained for."""
    attention_bias: bool = False
    """All four projections of attention have biases."""
    mlp_bias: bool = False
    traits: Traits = field(default_factory=Traits)


@cache
def families() -> Mapping[str, Architecture]:
    """The shipped ones, by name."""
    rows = tomllib.loads(_FAMILIES.read_text(encoding="utf-8"))
    return {name: _family(name, row) for name, row in rows.items()}


def family(name: str) -> Architecture | None:
    """The shipped one of that name, or of that repository; in any case."""
    wanted = name.lower()
    known = families().items()
    return next((a for key, a in known if wanted in (key, a.source.lower())), None)


def architecture_of(text: str) -> Architecture:
    """Of a family's name, a config.json, a folder with one, or a GGUF file.

    Raises:
        ConfigError: it is none of them, or of a kind that is not known here.
        ModelLoadError: the file cannot be read.
    """
    path = Path(text).expanduser()
    if path.exists():
        return from_path(path)
    found = family(text)
    if found is None:
        near = get_close_matches(text.lower(), families(), n=5, cutoff=0.4)
        which = f"near: {', '.join(near)}" if near else f"known: {', '.join(families())}"
        raise ConfigError(
            f"{text!r} is no known family, entry, config.json or GGUF file", hint=which
        )
    return found


def from_path(path: Path) -> Architecture:
    """Of a config.json, a folder with one, or a GGUF file.

    Raises:
        ConfigError: a key is absent, or the kind of model is not known here.
        ModelLoadError: the file cannot be read.
    """
    if path.is_dir():
        path = path / CONFIG
    if path.suffix == ".gguf":
        return from_gguf(read_model(path), path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelLoadError(f"{path}: cannot be read as JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: no JSON object")
    return from_config(found, path)


def from_config(config: Mapping[str, Any], path: Path) -> Architecture:
    """Of what a config.json holds; of one for text and images, its part for text.

    Raises:
        ConfigError: a key is absent or no whole number, or the kind of model is not known here.
    """
    text = config.get("text_config")
    config = text if isinstance(text, dict) else config
    model_type = str(config.get("model_type", ""))
    traits = _traits(model_type, path)
    experts = next((key for key in _EXPERTS if config.get(key)), None)
    if experts:
        raise ConfigError(f"{path}: {experts}: mixtures of experts are not planned for")
    read = _Keys(config, path)
    hidden, heads = read.whole("hidden_size"), read.whole("num_attention_heads")
    return Architecture(
        name=path.parent.name or path.name,
        source=str(path),
        model_type=model_type,
        hidden=hidden,
        layers=read.whole("num_hidden_layers"),
        heads=heads,
        kv_heads=read.whole("num_key_value_heads", heads),
        head_dim=read.whole("head_dim", traits.head_dim or max(hidden // heads, 1)),
        intermediate=read.whole("intermediate_size"),
        vocabulary=read.whole("vocab_size"),
        tied=bool(config.get("tie_word_embeddings", traits.tied)),
        context=read.whole("max_position_embeddings"),
        attention_bias=bool(config.get("attention_bias", False)) and not traits.qkv_bias,
        mlp_bias=bool(config.get("mlp_bias", False)),
        traits=traits,
    )


def from_gguf(header: Header, path: Path) -> Architecture:
    """Of a GGUF's header.

    Raises:
        ConfigError: a key is absent, or the kind of model is not known here.
    """
    kind = header.architecture
    model_type = _TYPE_OF_GGUF.get(kind, kind)
    traits = _traits(model_type, path)
    read = _Keys({key: header.of_architecture(key) for key in _GGUF_KEYS}, path)
    names = {tensor.name: tensor for tensor in header.tensors}
    hidden, heads = read.whole("embedding_length"), read.whole("attention.head_count")
    if "token_embd.weight" not in names:
        raise ConfigError(f"{path}: it has no token_embd.weight")
    return Architecture(
        name=path.stem,
        source=str(path),
        model_type=model_type,
        hidden=hidden,
        layers=read.whole("block_count"),
        heads=heads,
        kv_heads=read.whole("attention.head_count_kv", heads),
        head_dim=read.whole("attention.key_length", max(hidden // heads, 1)),
        intermediate=read.whole("feed_forward_length"),
        vocabulary=names["token_embd.weight"].shape[1],
        tied="output.weight" not in names,
        context=read.whole("context_length"),
        attention_bias="blk.0.attn_output.bias" in names,
        mlp_bias="blk.0.ffn_down.bias" in names,
        traits=traits,
    )


_GGUF_KEYS = (
    "embedding_length",
    "block_count",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "feed_forward_length",
    "context_length",
)


@dataclass(frozen=True, slots=True)
class _Keys:
    values: Mapping[str, Any]
    path: Path

    def whole(self, key: str, otherwise: int | None = None) -> int:
        """The positive whole number of a key."""
        value = self.values.get(key)
        if value is None and otherwise is not None:
            return otherwise
        if value is None:
            raise ConfigError(f"{self.path}: {key} is absent", hint="a config.json of transformers")
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{self.path}: {key}: {value!r} is no whole number above 0")
        return value


def _traits(model_type: str, path: Path) -> Traits:
    if model_type not in TRAITS:
        raise ConfigError(
            f"{path}: models of type {model_type!r} are not known here",
            hint=f"known: {', '.join(TRAITS)}",
        )
    return TRAITS[model_type]


def _family(name: str, row: Mapping[str, Any]) -> Architecture:
    traits = TRAITS[row["model_type"]]
    head_dim = row.get("head_dim", row["hidden"] // row["heads"])
    return Architecture(name=name, traits=traits, **{**row, "head_dim": head_dim})
