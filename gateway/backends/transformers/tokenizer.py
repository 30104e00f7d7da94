"""The tokenizer of a Hugging Face folder, as reading a request needs it."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.core.errors import InvalidRequest, ModelLoadError
from gateway.core.extras import require
from gateway.engine.tokenizer import Segment


class FolderTokenizer:
    """See `gateway.engine.tokenizer.Tokenizer`.

    Args:
        path: a folder with tokenizer.json.
        end_tokens: ids that end a generation besides the tokenizer's own end, as the model's
            generation_config.json lists them.

    Raises:
        MissingExtra: transformers is not installed.
        ModelLoadError: there is no fast tokenizer in it.
    """

    def __init__(self, path: Path, end_tokens: Sequence[int] = ()) -> None:
        require("transformers")
        from transformers import AutoTokenizer

        self.path = path
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                path, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as exc:
            raise ModelLoadError(f"{path}: no tokenizer: {exc}") from exc
        if not self._tokenizer.is_fast:
            raise ModelLoadError(f"{path}: a tokenizer without tokenizer.json is not supported")
        own = self._tokenizer.eos_token_id
        self.end_tokens = tuple(sorted({*end_tokens, *([] if own is None else [own])}))
        self._size = len(self._tokenizer)

    @property
    def chat_template(self) -> str | None:
        found = self._tokenizer.chat_template
        return found if isinstance(found, str) else None

    @cached_property
    def control_pattern(self) -> re.Pattern[str] | None:
        added = self._tokenizer.added_tokens_decoder.values()
        template = self.chat_template or ""
        texts = [
            str(token.content)
            for token in added
            if token.special or (len(token.content) > 1 and token.content in template)
        ]
        if not texts:
            return None
        return re.compile("|".join(re.escape(t) for t in sorted(texts, key=len, reverse=True)))

    @cached_property
    def guidance_tokenizer(self) -> Any:
        from llguidance.hf import from_tokenizer

        return from_tokenizer(self._tokenizer, eos_token=list(self.end_tokens))

    def special_text(self, which: str) -> str:
        return str(getattr(self._tokenizer, f"{which}_token") or "")

    def tokenize(self, segments: Sequence[Segment], *, add_special: bool) -> list[int]:
        tokens = list(self._before) if add_special else []
        for text, parse_special in segments:
            _check_unicode(text)
            tokens += self._tokenizer.encode(
                text, add_special_tokens=False, split_special_tokens=not parse_special
            )
        return tokens

    @cached_property
    def _before(self) -> tuple[int, ...]:
        """What the tokenizer puts before a text: what it makes of none, but for an end."""
        made = self._tokenizer.encode("", add_special_tokens=True)
        return tuple(token for token in made if token not in self.end_tokens)

    def piece(self, token: int) -> bytes:
        if self.guidance_tokenizer.is_special_token(token):
            return b""
        return bytes(self.guidance_tokenizer.decode_bytes([token]))

    def checked_piece(self, token: int) -> bytes:
        if not 0 <= token < self._size:
            raise InvalidRequest(f"token {token}: the vocabulary has {self._size}")
        return self.piece(token)

    def text_of(self, tokens: Sequence[int]) -> str:
        return b"".join(map(self.checked_piece, tokens)).decode("utf-8", "replace")

    def tokens_beginning_with(self, text: str) -> tuple[int, ...]:
        wanted = text.encode()
        return tuple(t for t in range(self._size) if self.piece(t).startswith(wanted))

    def close(self) -> None:
        """Nothing to free."""


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequest(
            f"the text holds a lone surrogate at character {exc.start}", hint="send valid Unicode"
        ) from exc
