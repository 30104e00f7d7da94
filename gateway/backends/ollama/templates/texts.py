"""The texts that a chat template puts around messages, read off from what it renders.

The template renders conversations whose messages are marks; what stands between the marks are its
texts. How it comes by them does not matter.
"""

import re
from dataclasses import dataclass

from gateway.backends.ollama.templates.check import OwnTemplate, conversation

_MARK = "\ue000{}\ue001"
_MARKED = re.compile("\ue000([0-9]+)\ue001")


@dataclass(frozen=True, slots=True)
class Texts:
    """What stands before, between and after messages."""

    start: str
    """Before everything: a BOS that the vocabulary does not add by itself."""
    first_user_open: str
    """Before a user's message that comes first, with the default system prompt."""
    user_open: str
    user_close: str
    assistant_open: str
    assistant_close: str
    answer_open: str
    """Where the answer begins."""
    system_open: str | None
    """None: a system message is refused, or its text does not stand before the user's."""
    after_system: str
    """Between a system message and the user's."""
    system_refused: bool


def read_off(own: OwnTemplate) -> Texts | None:
    """The texts; None where the messages do not stand in what is rendered, each once, in order."""
    turns = _between(own, "uau")
    if turns is None:
        return None
    first, to_assistant, to_user, end = turns
    user_close = _close(own, "u", to_assistant, end)
    assistant_close = _close(own, "ua", to_user)
    user_open = to_user.removeprefix(assistant_close)
    system = _between(own, "su")
    system_open, after_system = system[:2] if system else (None, "")
    start = own.special.get("bos_token", "")
    before_all = [first] if system_open is None else [first, system_open]
    if user_open.startswith(start) or not all(text.startswith(start) for text in before_all):
        # It stands before each question, or nowhere.
        start = ""
    return Texts(
        start=start,
        first_user_open=first.removeprefix(start),
        user_open=user_open,
        user_close=user_close,
        assistant_open=to_assistant.removeprefix(user_close),
        assistant_close=assistant_close,
        answer_open=end.removeprefix(user_close),
        system_open=None if system_open is None else system_open.removeprefix(start),
        after_system=after_system,
        system_refused=rendered_marks(own, "su") is None,
    )


def rendered_marks(own: OwnTemplate, roles: str, *, begin_answer: bool = True) -> str | None:
    """What becomes of a conversation of marks, with these roles (see `conversation`); None where
    it is refused."""
    marks = [_MARK.format(number) for number in range(len(roles))]
    return own.render(conversation(roles, marks), begin_answer=begin_answer)


def _between(own: OwnTemplate, roles: str, *, begin_answer: bool = True) -> list[str] | None:
    """The texts before, between and after the messages of a conversation."""
    pieces = _MARKED.split(rendered_marks(own, roles, begin_answer=begin_answer) or "")
    in_order = pieces[1::2] == [str(number) for number in range(len(roles))]
    return pieces[::2] if in_order else None


def _close(own: OwnTemplate, roles: str, *following: str) -> str:
    """What closes the last message: the following texts begin with it.

    Some templates put an end of text behind a conversation in which no answer begins.
    """
    pieces = _between(own, roles, begin_answer=False)
    ending = pieces[-1] if pieces else ""
    for close in (ending, ending.removesuffix(own.special.get("eos_token", ""))):
        if all(text.startswith(close) for text in following):
            return close
    return ""
