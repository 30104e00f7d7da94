"""A conversation as transformers' own `apply_chat_template` renders it, to compare with."""

from collections.abc import Mapping, Sequence
from datetime import datetime

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
    from transformers.utils.chat_template_utils import render_jinja_template

    told = {**variables, "strftime_now": now.strftime}
    turns = [{"role": each.role, "content": each.content} for each in messages]
    try:
        shown, _ = render_jinja_template(
            conversations=[turns], chat_template=source, add_generation_prompt=True, **told
        )
    except Exception:  # noqa: BLE001 - whatever a template does
        return None
    return str(shown[0])
