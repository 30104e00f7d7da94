"""A backend that renders by a chat template and has no model."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.backends.fake import FakeBackend, Script
from gateway.core.digests import digest_json
from gateway.core.types import GenerationRequest, RenderedRequest
from gateway.engine.reader import Reader
from gateway.engine.tokenizer import Segment
from gateway.models.spec import ModelSpec, PathSource
from gateway.models.tool_calls import ToolMode


class Bytes:
    """A vocabulary of bytes."""

    path = Path("bytes")
    chat_template: str | None = None
    chat_templates: Mapping[str, str] = {}
    end_tokens: tuple[int, ...] = ()
    control_pattern: re.Pattern[str] | None = None
    defined_tokens: Sequence[str] = ()
    special_tokens: Mapping[str, str] = {}
    guidance_tokenizer: Any = None

    def __init__(self) -> None:
        self.tokenized = 0
        """How many texts were made tokens."""

    def special_text(self, _: str) -> str:
        return ""

    def identity(self, _: str) -> Mapping[str, str]:
        return {}

    def token_text(self, token: int) -> str:
        return chr(token)

    def tokenize(self, segments: Sequence[Segment], *, add_special: bool) -> list[int]:
        del add_special
        self.tokenized += 1
        return list("".join(text for text, _ in segments).encode())

    def embedded(self, text: str) -> list[int]:
        return self.tokenize([(text, False)], add_special=True)

    def piece(self, token: int) -> bytes:
        return bytes([token])

    checked_piece = piece

    def text_of(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("utf-8", "replace")

    def tokens_beginning_with(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode()[:1])


class RenderingBackend(FakeBackend):
    """Its prompts are those of its entry's chat template."""

    def __init__(self, spec: ModelSpec, script: Script | None = None) -> None:
        super().__init__(spec, script=script)
        self.vocabulary = Bytes()
        self.reader = Reader(spec, self.vocabulary)
        self.identity = {**self.identity, **self.reader.identity}
        self.fingerprint = digest_json(self.identity)

    def render(self, request: GenerationRequest) -> RenderedRequest:
        return self.reader.render(request)

    @property
    def call_syntax(self) -> str:
        return self.reader.call_syntax

    @property
    def tool_mode(self) -> ToolMode:
        return self.reader.tool_mode


def rendering(template: str, script: Script | None = None, **entry: Any) -> RenderingBackend:
    """One whose entry has this chat template."""
    return RenderingBackend(
        ModelSpec("m", PathSource(Path()), chat_template=template, **entry), script
    )


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('No system role here') }}{% endif %}"
    + CHATML
)
DROPS_SYSTEM = CHATML.replace("messages %}", "messages if m.role != 'system' %}")
DROPS_ALL_BUT_USER = CHATML.replace("messages %}", "messages if m.role == 'user' %}")
OPENS_A_THOUGHT = CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")
CLOSES_IT_AGAIN = OPENS_A_THOUGHT.replace("<think>\n", "<think>\n\n</think>\n\n")
AS_JSON = CHATML.replace("m.content", "m.content | tojson(ensure_ascii=true)")
SHORTENS = CHATML.replace("m.content", "m.content[:20]")
