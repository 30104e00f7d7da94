"""Jinja chat templates, rendered as transformers renders them, in a sandbox.

Reference: transformers, `utils/chat_template_utils.py` (trim_blocks, lstrip_blocks, loop
controls, `tojson` without HTML escapes, `raise_exception`, `strftime_now`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.errors import ConfigError, InvalidRequest
from gateway.types import Message

PLAIN = (
    "{% for message in messages %}"
    "{{ 'Answer:\n' if message['role'] == 'assistant' else '' }}"
    "{{ message['content'] | trim + '\n\n' }}"
    "{% endfor %}"
    "{{ 'Answer:\n' if add_generation_prompt else '' }}"
)
"""For base models, chosen by name (`chat_template = "plain"`), never by default: each turn is a
paragraph, the assistant's under a line "Answer:". An answer ends with its line. The prompt ends
with a newline and not with a space, which a tokenizer would join to the answer's first word."""

Clock = Callable[[], datetime]


class ChatTemplate:
    """A compiled chat template.

    Args:
        source: the Jinja text.
        clock: what `strftime_now` asks. A template that uses it renders the day into the prompt.

    Raises:
        ConfigError: the template does not compile.
    """

    def __init__(self, source: str, *, clock: Clock = datetime.now) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda form: clock().strftime(form)
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as exc:
            raise ConfigError(f"the model's chat template does not compile: {exc}") from exc

    def render(self, messages: Sequence[Message], *, special: Mapping[str, str]) -> str:
        """The conversation as text that ends where the assistant's answer begins.

        Args:
            special: texts of `bos_token`, `eos_token` and the like.

        Raises:
            InvalidRequest: the template refuses the conversation (roles out of order, say).
        """
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, **special)
        except (jinja2.TemplateError, TypeError) as exc:
            raise InvalidRequest(f"the chat template refuses the conversation: {exc}") from exc


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)
