"""The tokenizer of a Hugging Face folder, as reading a request needs it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.core.digests import canonical_json, digest_text
from gateway.core.errors import InvalidRequest, ModelLoadError
from gateway.core.extras import require
from gateway.core.lfs import refuse_pointer
from gateway.engine.tokenizer import SPECIAL, Segment, control_identity, pattern_of, written_in
from gateway.models.spec import DEFAULT

_TOKENIZER = "tokenizer.json"
_READ = ("*token*", "*.jinja", "vocab.*", "merges.txt")
"""Names of the files that a tokenizer is read from."""


class FolderTokenizer:
    """See `gateway.engine.tokenizer.Tokenizer`.

    Args:
        path: a folder with tokenizer.json.
        end_tokens: ids that end a generation besides the tokenizer's own end, as the model's
            generation_config.json lists them.
        embeddings: how many tokens the model has numbers for; 0: as many as there are here.

    Raises:
        MissingExtra: transformers is not installed.
        ModelLoadError: there is no fast tokenizer in it.
    """

    def __init__(self, path: Path, end_tokens: Sequence[int] = (), embeddings: int = 0) -> None:
        require("transformers")
        from transformers import AutoTokenizer

        self.path = path
        for file in (each for kind in _READ for each in path.glob(kind)):
            refuse_pointer(file)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                path, local_files_only=True, trust_remote_code=False
            )
        except Exception as exc:  # Rust's raise nothing narrower.
            raise ModelLoadError(f"{path}: no tokenizer: {exc}") from exc
        if not self._tokenizer.is_fast:
            raise ModelLoadError(f"{path}: a tokenizer without tokenizer.json is not supported")
        own = self._tokenizer.eos_token_id
        self._size = len(self._tokenizer)
        self._embeddings = embeddings or self._size
        known = own is not None and own < self._embeddings
        self.end_tokens = tuple(sorted({*end_tokens, *([own] if known else [])}))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about it beside its model, in one sentence each."""
        if self._size <= self._embeddings:
            return ()
        return (
            f"its tokenizer has {self._size} tokens, and the model numbers for {self._embeddings}: "
            "a text with one of the others is refused",
        )

    @property
    def chat_template(self) -> str | None:
        return self.chat_templates.get(DEFAULT)

    @cached_property
    def chat_templates(self) -> Mapping[str, str]:
        found = self._tokenizer.chat_template
        named = found if isinstance(found, dict) else {DEFAULT: found} if found else {}
        return {str(name): str(text) for name, text in named.items()}

    @property
    def _all_templates(self) -> str:
        return "".join(self.chat_templates.values())

    @cached_property
    def control_pattern(self) -> re.Pattern[str] | None:
        special = [text for text, is_special in self._added if is_special]
        return pattern_of([*special, *written_in(self._all_templates, self.defined_tokens)])

    @property
    def _added(self) -> list[tuple[str, bool]]:
        """Text of each added token, and whether it is a special one."""
        added = self._tokenizer.added_tokens_decoder.values()
        return [(str(token.content), bool(token.special)) for token in added]

    @property
    def special_tokens(self) -> Mapping[str, str]:
        found = self._tokenizer.special_tokens_map
        return {str(name): str(text) for name, text in found.items() if isinstance(text, str)}

    @property
    def defined_tokens(self) -> list[str]:
        return [text for text, is_special in self._added if not is_special]

    def identity(self, template: str) -> Mapping[str, str]:
        """What other files of the folder make of it than tokenizer.json and config.json say, which
        the digest of the weights covers: tokenizer_config.json, special_tokens_map.json,
        added_tokens.json and generation_config.json, by what they do and not by their bytes.
        """
        found = {}
        if (read := _state(self._tokenizer.backend_tokenizer)) != self._plain_state:
            found["tokenizer"] = digest_text(read)
        if self.end_tokens != self._configured("eos"):
            found["end_tokens"] = canonical_json(self.end_tokens)
        if told := dict(self._texts_read(template)):
            found["special_tokens"] = canonical_json(told)
        own = self._all_templates
        others = {} if template == own else control_identity(own, self.defined_tokens)
        return {**found, **others}

    @property
    def _plain_state(self) -> str:
        """Of tokenizer.json, without what the files beside it say."""
        from tokenizers import Tokenizer

        file = self.path / _TOKENIZER
        return _state(Tokenizer.from_file(str(file))) if file.is_file() else ""

    def _texts_read(self, template: str) -> Iterator[tuple[str, str]]:
        """Texts of special tokens that rendering looks at, where config.json says others."""
        looked_at = {which: f"{which}_token" in template for which in SPECIAL}
        looked_at["bos"] |= bool(self._before)
        for which in (each for each, looks in looked_at.items() if looks):
            usual = [self.token_text(token) for token in self._configured(which)[:1]]
            if (text := self.special_text(which)) != "".join(usual):
                yield which, text

    def _configured(self, which: str) -> tuple[int, ...]:
        """Ids of a special token as config.json says them, ascending."""
        text = self._config.get("text_config") or {}
        key = f"{which}_token_id"
        found = self._config.get(key, text.get(key) if isinstance(text, dict) else None)
        ids = found if isinstance(found, list) else [found]
        return tuple(sorted({each for each in ids if isinstance(each, int) and each >= 0}))

    @cached_property
    def _config(self) -> dict[str, Any]:
        try:
            read = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # Whoever loads the weights says so.
        return read if isinstance(read, dict) else {}

    @cached_property
    def guidance_tokenizer(self) -> Any:
        from llguidance.hf import from_tokenizer

        return from_tokenizer(self._tokenizer, eos_token=list(self.end_tokens))

    def special_text(self, which: str) -> str:
        return str(getattr(self._tokenizer, f"{which}_token") or "")

    def token_text(self, token: int) -> str:
        return str(self._tokenizer.convert_ids_to_tokens(token))

    def tokenize(self, segments: Sequence[Segment], *, add_special: bool) -> list[int]:
        tokens = list(self._before) if add_special else []
        for text, parse_special in segments:
            _check_unicode(text)
            tokens += self._tokenizer.encode(
                text, add_special_tokens=False, split_special_tokens=not parse_special
            )
        if (most := max(tokens, default=0)) >= self._embeddings:
            raise InvalidRequest(
                f"the model has numbers for {self._embeddings} tokens, and the text has token "
                f"{most}, {self.token_text(most)!r}",
                hint="its tokenizer is another model's, or has tokens that were added to it alone",
            )
        return tokens

    def embedded(self, text: str) -> list[int]:
        return self.tokenize([(text, False)], add_special=True)

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
        known = range(min(self._size, self._embeddings))
        return tuple(t for t in known if self.piece(t).startswith(wanted))

    def close(self) -> None:
        """Nothing to free."""


def _state(tokenizer: Any) -> str:
    """All that a tokenizer of Rust's does, as text; lengths that are never asked for apart."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return str(tokenizer.to_str())


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequest(
            f"the text holds a lone surrogate at character {exc.start}", hint="send valid Unicode"
        ) from exc
