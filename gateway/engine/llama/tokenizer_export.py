"""The tokenizer of a GGUF file in Hugging Face's form, for a folder of safetensors.

transformers makes one of the file's vocabulary, but takes one way to cut a text into words for all
models. SmolLM2's own way (its tokenizer.json: single digits first, then GPT-2's words; llama.cpp's
`LLAMA_VOCAB_PRE_TYPE_SMOLLM`) keeps two line breaks before a digit together, that one does not, and
the model would read other tokens than it was trained on. So it is corrected where the file names a
way that is known here, and in any case held against llama.cpp's reading.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.core.errors import ModelLoadError
from gateway.engine.llama.vocabulary import GgufVocabulary

PROBES = (
    "Version\n\n2.10 of 1234567 (v3)\n\n\n  4",
    "It's we'll THEY'RE I'd don't",
    "def f(x):\n\treturn x ** 2  # why?\n\n    pass",
    "naïve façade Ünïcödé ½ ² Ⅷ 日本語のテキスト 한국어 русский العربية",
    "😀👩‍💻 e\u0301 \u00a0\u2003\u200b|",
    "  leading, trailing  \r\n\r\n\t\t--- === ... !!! ?!",
    "https://example.org/a_b?c=1&d=%20#e <b>&amp;</b> C:\\x\\y $HOME ~/z",
    "SHOUTING CamelCaseWords snake_case_words kebab-case-words",
    "1,000.50 0x1F 3e-10 12:30 2024-01-31",
    "\n\n\n\na\n \n\tb\x00c",
)
"""Texts at whose borders of words tokenizers part."""


def tokenizer_of(path: Path) -> tuple[Any, tuple[str, ...]]:
    """A GGUF file's tokenizer as transformers saves it, and the probes that it reads otherwise than
    llama.cpp does.

    Raises:
        ModelLoadError: transformers cannot make one of it.
    """
    from transformers import AutoTokenizer

    try:
        made = AutoTokenizer.from_pretrained(
            path.parent, gguf_file=path.name, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as exc:
        raise ModelLoadError(f"{path}: no tokenizer: {exc}") from exc
    vocabulary = GgufVocabulary(path)
    try:
        known = _WAYS.get(vocabulary.metadata("tokenizer.ggml.pre"))
        if known is not None:
            made.backend_tokenizer.pre_tokenizer = known()
        differing = [text for text in PROBES if _read(made, text) != _own(vocabulary, text)]
    finally:
        vocabulary.close()
    return made, tuple(differing)


def end_tokens_of(path: Path) -> list[int]:
    """Tokens that end an answer of a GGUF's model. transformers takes over one of them, and a label
    is scored with all."""
    vocabulary = GgufVocabulary(path)
    try:
        return list(vocabulary.end_tokens)
    finally:
        vocabulary.close()


def _read(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


def _own(vocabulary: GgufVocabulary, text: str) -> list[int]:
    return vocabulary.tokenize([(text, True)], add_special=False)


def _smollm() -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


_WAYS: dict[str, Callable[[], Any]] = {"smollm": _smollm}
