"""The vocabulary of a GGUF file: text into tokens and back, by llama.cpp's own tokenizers."""

import ctypes
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import compress, repeat
from pathlib import Path
from typing import Any

from gateway.core.errors import BackendUnavailable, InvalidRequest, ModelLoadError
from gateway.engine.llama import library
from gateway.engine.tokenizer import SPECIAL, Segment, control_identity, pattern_of, written_in
from gateway.models.gguf_kind import cure
from gateway.models.gguf_sound import refuse_unsound
from gateway.models.spec import DEFAULT

_PIECE_BYTES = 64
_VALUE_BYTES = 256
_MOST_PIECES = 1 << 16
"""Bytes of tokens that are remembered; a text has few different ones."""
_TEMPLATE = "tokenizer.chat_template."
"""Before the name of a chat template, where a file has more than one."""
_NO_CALL = ("unk", "cls")
"""Special tokens that the library has no function for: the second is the BOS there."""


class GgufVocabulary:
    """The vocabulary and the chat template of a GGUF file.

    Args:
        settings: fields of `llama_model_params`; without any, the weights are not read.

    Raises:
        ModelLoadError: the file is absent, no GGUF, truncated, or of an unknown architecture.
    """

    def __init__(self, path: Path, **settings: Any) -> None:
        if not path.is_file():
            raise ModelLoadError(f"{path}: no such file")
        refuse_unsound(path)
        self.path = path
        self._lib = library.load()
        params = self._lib.llama_model_default_params()
        for name, value in (settings or {"vocab_only": True}).items():
            setattr(params, name, value)
        library.forget_errors()
        self.handle = self._lib.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            said = library.recent_errors()
            hint = cure(path, said, library.build().version)
            raise ModelLoadError(f"{path}: llama.cpp cannot load it: {said}", hint=hint)
        self._vocab = self._lib.llama_model_get_vocab(self.handle)
        if self._lib.llama_vocab_type(self._vocab) == self._lib.LLAMA_VOCAB_TYPE_NONE:
            self.close()
            raise ModelLoadError(f"{path}: it has no vocabulary, so that it reads no text")
        self.vocab_size: int = self._lib.llama_vocab_n_tokens(self._vocab)

    @property
    def vocab(self) -> Any:
        """The library's `llama_vocab`.

        Raises:
            BackendUnavailable: it is closed; the library would read what is freed.
        """
        if not self.handle:
            raise BackendUnavailable(f"the model of {self.path.name} is closed")
        return self._vocab

    def close(self) -> None:
        """Free what the library holds; nothing of it may be used afterwards."""
        if self.handle:
            self._lib.llama_model_free(self.handle)
            self.handle = None

    @cached_property
    def chat_template(self) -> str | None:
        """The Jinja chat template of the file's metadata, or None."""
        found = self._lib.llama_model_chat_template(self.handle, None)
        try:
            return found.decode() if found else None
        except UnicodeDecodeError as exc:
            raise ModelLoadError(
                f"{self.path}: its chat template is no UTF-8 at byte {exc.start}",
                hint="the file may be damaged: pull it again",
            ) from exc

    @cached_property
    def chat_templates(self) -> Mapping[str, str]:
        """See `gateway.engine.tokenizer.Tokenizer`."""
        named = [k.removeprefix(_TEMPLATE) for k in self._keys if k.startswith(_TEMPLATE)]
        found = {name: self.metadata(f"{_TEMPLATE}{name}") for name in sorted(named)}
        return found if self.chat_template is None else {DEFAULT: self.chat_template, **found}

    @property
    def _keys(self) -> list[str]:
        """Of the metadata, without arrays."""
        buffer, keys = ctypes.create_string_buffer(_VALUE_BYTES), []
        for number in range(self._lib.llama_model_meta_count(self.handle)):
            self._lib.llama_model_meta_key_by_index(self.handle, number, buffer, _VALUE_BYTES)
            keys.append(buffer.value.decode("utf-8", "replace"))
        return keys

    def metadata(self, key: str) -> str:
        """A number or text of the file's metadata, as text; empty where it has none."""
        size = _VALUE_BYTES
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = self._lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, size)
            if length < size:
                return buffer.value.decode("utf-8", "replace")
            size = length + 1

    @cached_property
    def end_tokens(self) -> tuple[int, ...]:
        """Ids that end a generation (end of turn, end of text), ascending."""
        return tuple(compress(range(self.vocab_size), self._of_each(self._lib.llama_vocab_is_eog)))

    def _of_each(self, function: Callable[[Any, int], int]) -> Iterator[int]:
        """What the library says of every token. `map` halves the time of so many calls, which
        every start waits for; the file cannot be asked, because the library changes its types."""
        return map(function, repeat(self.vocab), range(self.vocab_size))

    @cached_property
    def guidance_tokenizer(self) -> Any:
        """The same as an `llguidance.LLTokenizer`."""
        from llguidance.llamacpp import lltokenizer_from_vocab

        with warnings.catch_warnings():
            # llguidance 1.9 calls a function that llama-cpp-python 0.3.36 calls deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            return lltokenizer_from_vocab(self.vocab, eos_token=list(self.end_tokens))

    @cached_property
    def bos(self) -> int | None:
        """Id of the BOS, where the vocabulary asks for one before a text."""
        adds = self._lib.llama_vocab_get_add_bos(self.vocab)
        return int(self._lib.llama_vocab_bos(self.vocab)) if adds else None

    @cached_property
    def adds_eos(self) -> bool:
        """Whether the vocabulary asks for an EOS behind a text."""
        return bool(self._lib.llama_vocab_get_add_eos(self.vocab))

    def special_text(self, which: str) -> str:
        """Text of the `bos` or `eos` token, empty where the vocabulary has none."""
        token = getattr(self._lib, f"llama_vocab_{which}")(self.vocab)
        return self.token_text(token) if token >= 0 else ""

    @cached_property
    def special_tokens(self) -> Mapping[str, str]:
        """See `gateway.engine.tokenizer.Tokenizer`."""
        told = {which: self.special_text(which) for which in SPECIAL if which not in _NO_CALL}
        unknown = self.metadata("tokenizer.ggml.unknown_token_id")
        if unknown.isdigit() and int(unknown) < self.vocab_size:
            told["unk"] = self.token_text(int(unknown))
        return {f"{which}_token": text for which, text in told.items() if text}

    @property
    def defined_tokens(self) -> Sequence[str]:
        """See `gateway.engine.tokenizer.Tokenizer`."""
        return self._named_tokens[1]

    def token_text(self, token: int) -> str:
        """A token as the vocabulary writes it, control tokens included."""
        return str(self._lib.llama_vocab_get_text(self.vocab, token).decode("utf-8", "replace"))

    @cached_property
    def control_pattern(self) -> re.Pattern[str] | None:
        """Matches what would be read as a control token; text from data must not become one."""
        control, defined = self._named_tokens
        return pattern_of([*control, *written_in(self._all_templates, defined)])

    @property
    def _all_templates(self) -> str:
        return "".join(self.chat_templates.values())

    def identity(self, template: str) -> Mapping[str, str]:
        """See `gateway.engine.tokenizer.Tokenizer`."""
        own = self._all_templates
        return {} if template == own else control_identity(own, self._named_tokens[1])

    @cached_property
    def _named_tokens(self) -> tuple[list[str], list[str]]:
        """Texts of the control tokens, and of those that are user-defined."""
        is_control = self._lib.LLAMA_TOKEN_ATTR_CONTROL | self._lib.LLAMA_TOKEN_ATTR_UNKNOWN
        is_defined = self._lib.LLAMA_TOKEN_ATTR_USER_DEFINED
        control: list[str] = []
        defined: list[str] = []
        for token, kind in enumerate(self._of_each(self._lib.llama_vocab_get_attr)):
            if kind & (is_control | is_defined) and (text := self.token_text(token)):
                (control if kind & is_control else defined).append(text)
        return control, defined

    def tokenize(self, segments: Sequence[Segment], *, add_special: bool) -> list[int]:
        """Token ids of the segments' texts in order.

        Args:
            add_special: put the tokens that the vocabulary asks for (a BOS) before the text. Those
                that it asks for behind one end it, and a model is to go on: see `embedded`.

        Raises:
            InvalidRequest: a text holds a lone surrogate and so has no UTF-8 form.
        """
        tokens: list[int] = []
        for number, (text, parse_special) in enumerate(segments):
            special = add_special and number == 0
            found = self._tokenize(text, special, parse_special)
            tokens += found[: len(found) - self._behind] if special else found
        return tokens

    def embedded(self, text: str) -> list[int]:
        """See `gateway.engine.tokenizer.Tokenizer`."""
        return self.alone(text, control=False)

    def alone(self, text: str, *, control: bool) -> list[int]:
        """Token ids of a text with all that the vocabulary asks for before and behind it.

        Args:
            control: read control tokens that are written in it as such.

        Raises:
            InvalidRequest: as `tokenize`.
        """
        return self._tokenize(text, True, control)

    @cached_property
    def before(self) -> tuple[int, ...]:
        """Tokens that the vocabulary asks for before a text."""
        around = self.alone("", control=False)
        return tuple(around[: len(around) - self._behind])

    @cached_property
    def behind(self) -> tuple[int, ...]:
        """Tokens that it asks for behind a text, where the text is all that is read."""
        around = self.alone("", control=False)
        return tuple(around[len(around) - self._behind :])

    @cached_property
    def between(self) -> tuple[int, ...]:
        """Tokens between two texts that are read as a pair: the EOS that the vocabulary asks for
        behind each, and the separator, where it asks for one."""
        lib, vocab = self._lib, self.vocab
        eos = self.behind if self.adds_eos else ()
        sep = lib.llama_vocab_sep(vocab)
        wanted = lib.llama_vocab_get_add_sep(vocab) and sep >= 0
        return (*eos, sep) if wanted else eos

    @cached_property
    def _behind(self) -> int:
        """How many tokens the library puts behind a text (`llama_vocab::impl::tokenize`): a WPM's
        SEP always, an EOS where the vocabulary asks for it and is of a type that heeds it."""
        lib, kind = self._lib, self._lib.llama_vocab_type(self.vocab)
        heeds = (lib.LLAMA_VOCAB_TYPE_SPM, lib.LLAMA_VOCAB_TYPE_BPE, lib.LLAMA_VOCAB_TYPE_UGM)
        return int(kind == lib.LLAMA_VOCAB_TYPE_WPM or (kind in heeds and self.adds_eos))

    def _tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        try:
            data = text.encode()
        except UnicodeEncodeError as exc:
            raise InvalidRequest(
                f"the text holds a lone surrogate at character {exc.start}",
                hint="send valid Unicode",
            ) from exc
        room = len(data) + 8
        buffer = (ctypes.c_int32 * room)()
        count = self._lib.llama_tokenize(
            self.vocab, data, len(data), buffer, room, add_special, parse_special
        )
        if count < 0:
            raise InvalidRequest(f"the text cannot be tokenized in {room} tokens")
        return list(buffer[:count])

    def piece(self, token: int, *, control: bool = False) -> bytes:
        """The bytes that a token adds to the text.

        Args:
            control: write control tokens too, which otherwise add none.
        """
        size = _PIECE_BYTES
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = self._lib.llama_token_to_piece(self.vocab, token, buffer, size, 0, control)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def checked_piece(self, token: int) -> bytes:
        """As `piece`, for an id from outside.

        Raises:
            InvalidRequest: the vocabulary has no such id; the library would read past its end.
        """
        if not 0 <= token < self.vocab_size:
            raise InvalidRequest(f"token {token}: the vocabulary has {self.vocab_size}")
        return self.piece(token)

    def text_of(self, tokens: Sequence[int]) -> str:
        """The tokens' text; control tokens have none.

        Raises:
            InvalidRequest: the vocabulary lacks one of them.
        """
        return b"".join(map(self._checked, tokens)).decode("utf-8", "replace")

    @cached_property
    def _checked(self) -> Callable[[int], bytes]:
        return lru_cache(_MOST_PIECES)(self.checked_piece)

    def tokens_beginning_with(self, text: str) -> tuple[int, ...]:
        """Ids of all tokens whose text begins with `text`, ascending."""
        wanted = text.encode()
        return tuple(t for t in range(self.vocab_size) if self.piece(t).startswith(wanted))
