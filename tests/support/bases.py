"""Entries and facts of a base in a folder."""

from pathlib import Path

from gateway.backends.transformers.spec import TransformersSpec
from gateway.models.adapters.base import Base, read_base
from gateway.models.spec import PathSource


def entry(folder: Path, **changes: object) -> TransformersSpec:
    return TransformersSpec("tiny", PathSource(folder), **changes)  # type: ignore[arg-type]


def facts(folder: Path) -> Base:
    return read_base(entry(folder), folder)


def write_tokenizer(folder: Path, *, parted: bool = False) -> None:
    """One of 160 words, w0 to w159, as many as the small models have embeddings.

    Args:
        parted: a text is parted at its spaces.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({f"w{n}": n for n in range(160)}, unk_token="w0"))
    if parted:
        words.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0").save_pretrained(folder)
