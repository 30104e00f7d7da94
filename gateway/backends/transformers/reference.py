"""A conversation as transformers' own `apply_chat_template` renders it, to compare with."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Any

from gateway.backends.transformers.library import prepare
from gateway.core.types import Message


def rendered(
    source: str, messages: Sequence[Message], variables: Mapping[str, object], now: datetime
) -> str | None:
    """The prompt; None where the template refuses the conversation.

    Args:
        source: the Jinja text.
        variables: what it is told beside the messages, special tokens among it.
        now: what `strftime_now` says; transformers would take the clock.
    """
    prepare()
    from transformers.utils import chat_template_utils as reference

    turns = [{"role": each.role, "content": each.content} for each in messages]
    try:
        with _clock(reference, now):
            shown, _ = reference.render_jinja_template(
                conversations=[turns],
                chat_template=source,
                add_generation_prompt=True,
                **variables,
            )
    except Exception:  # noqa: BLE001 - whatever a template does
        return None
    return str(shown[0])


@contextmanager
def _clock(module: Any, now: datetime) -> Iterator[None]:
    """Stop the clock of a module; transformers offers no other way."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Stopped":
            return cls.combine(now.date(), now.time(), tz)

    before, module.datetime = module.datetime, Stopped
    try:
        yield
    finally:
        module.datetime = before
