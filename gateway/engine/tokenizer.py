"""What reading a request needs of a model's tokenizer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from gateway.core.digests import digest_json

Segment = tuple[str, bool]
"""Text, and whether control tokens written in it are to be read as control tokens."""


class Tokenizer(Protocol):
    """A model's vocabulary, and how it makes tokens of text."""

    path: Path
    """The file or folder that it comes from."""

    @property
    def chat_template(self) -> str | None:
        """The model's own, in Jinja; of several the one that is called "default"."""
        ...

    @property
    def chat_templates(self) -> Mapping[str, str]:
        """All of the model's own, by name."""
        ...

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Ids that end a generation (end of turn, end of text), ascending."""
        ...

    @property
    def control_pattern(self) -> re.Pattern[str] | None:
        """Matches what would be read as a control token; text from data must not become one."""
        ...

    @property
    def defined_tokens(self) -> Sequence[str]:
        """Texts of the tokens that the vocabulary adds and does not call control tokens."""
        ...

    @property
    def special_tokens(self) -> Mapping[str, str]:
        """Texts of those with a name, as chat templates know them: `bos_token`, `pad_token`."""
        ...

    @property
    def guidance_tokenizer(self) -> Any:
        """The same as an `llguidance.LLTokenizer`."""
        ...

    def identity(self, template: str) -> Mapping[str, str]:
        """What may change a byte and is in no digest of the weights' contents, by name; nothing
        where it is as those contents say.

        Args:
            template: by which messages are rendered; empty: by none.
        """
        ...

    def special_text(self, which: str) -> str:
        """Text of the `bos` or `eos` token, empty where there is none."""
        ...

    def token_text(self, token: int) -> str:
        """A token as the vocabulary writes it, control tokens included."""
        ...

    def tokenize(self, segments: Sequence[Segment], *, add_special: bool) -> list[int]:
        """Token ids of the segments' texts in order.

        Args:
            add_special: put the tokens that the vocabulary asks for (a BOS) before the text.

        Raises:
            InvalidRequest: a text holds a lone surrogate and so has no UTF-8 form.
        """
        ...

    def embedded(self, text: str) -> list[int]:
        """Token ids of a text that is to be embedded, with the tokens that belong around one.

        Raises:
            InvalidRequest: as `tokenize`.
        """
        ...

    def piece(self, token: int) -> bytes:
        """The bytes that a token adds to the text; none for a control token."""
        ...

    def checked_piece(self, token: int) -> bytes:
        """As `piece`, for an id from outside.

        Raises:
            InvalidRequest: the vocabulary has no such id.
        """
        ...

    def text_of(self, tokens: Sequence[int]) -> str:
        """The tokens' text. Raises as `checked_piece`."""
        ...

    def tokens_beginning_with(self, text: str) -> tuple[int, ...]:
        """Ids of all tokens whose text begins with `text`, ascending."""
        ...


SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
"""Special tokens that most vocabularies have some of."""


def pattern_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    """What matches any of these texts, the longest first; None: there are none."""
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def written_in(template: str, texts: Iterable[str]) -> list[str]:
    """Those tokens that a chat template writes, which are control tokens to it though the
    vocabulary does not say so. A single character is none."""
    return [text for text in texts if len(text) > 1 and text in template]


def control_identity(own: str, texts: Iterable[str]) -> Mapping[str, str]:
    """What a model's own chat template decides where messages are rendered by another: which tokens
    are control tokens that the vocabulary does not call so. Nothing where there are none.

    Args:
        texts: of the tokens that the vocabulary does not call control tokens.
    """
    found = written_in(own, texts)
    return {"control_tokens": digest_json(found)} if found else {}
