"""Which files a model is read from, and how each counts in its identity.

A file counts by its bytes, or by what it does. Of one that counts by what it does, a byte that
changes nothing changes no fingerprint: stores that were made before it stay valid. A test traces
every file that loading opens, damages it, and holds all answers under one fingerprint to the byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Covered:
    """How a file counts."""

    by: Literal["bytes", "effect", "nothing"]
    keys: tuple[str, ...] = ()
    """Of the identity."""
    idle: str = ""
    """What of it cannot change an answer, and why; empty: no byte of it."""


_NAMES = "names, licences and the order of tensors: no pass reads them"
_OF_TOKENIZER = (
    "what leaves tokens, special tokens and ends as tokenizer.json has them: lengths to cut or pad "
    "to, which nobody asks for; names of classes, since tokenizer.json alone is read"
)
FILES: Mapping[str, Covered] = {
    "model.safetensors": Covered("bytes", ("weights",)),
    "model-*.safetensors": Covered("bytes", ("weights",)),
    "config.json": Covered("bytes", ("weights",)),
    "tokenizer.json": Covered("bytes", ("weights",)),
    "model.safetensors.index.json": Covered(
        "effect",
        ("shards",),
        "sizes and what names the same files: a tensor is found in the files by its own name",
    ),
    "generation_config.json": Covered(
        "effect",
        ("end_tokens",),
        "all but eos_token_id: each request says all of its sampling",
    ),
    "tokenizer_config.json": Covered(
        "effect", ("tokenizer", "special_tokens", "end_tokens"), _OF_TOKENIZER
    ),
    "special_tokens_map.json": Covered(
        "effect", ("tokenizer", "special_tokens", "end_tokens"), _OF_TOKENIZER
    ),
    "added_tokens.json": Covered(
        "effect", ("tokenizer", "special_tokens", "end_tokens"), _OF_TOKENIZER
    ),
    "chat_template.jinja": Covered("bytes", ("chat_template",)),
    "*.jinja": Covered("bytes", ("chat_template",)),
    "adapter_model.safetensors": Covered("bytes", ("adapter",)),
    "adapter_config.json": Covered("bytes", ("adapter",)),
    "*.gguf": Covered("effect", ("weights", "chat_template", "adapter"), _NAMES),
    "Modelfile": Covered(
        "effect",
        ("weights", "adapter", "context_length"),
        "what it does not say of weights, adapter and context: models.toml or nobody reads it",
    ),
    "models.toml": Covered(
        "effect",
        (),
        "descriptions and comments: each setting counts by its own name in the identity",
    ),
    "card.toml": Covered(
        "nothing", (), "all: it can only refuse an adapter for weights that it was not made on"
    ),
    "digests.json": Covered("nothing", (), "all: what it holds is found by inode, times and size"),
}
"""Pattern of a name -> how the file counts; the first that fits."""
