"""What the server's own template makes of a conversation, on route "chat".

The server renders it and does not tell how. `/api/show` gives the template, and this package
executes templates as Go does: a turn that it loses is known before the server is asked.
"""

from collections.abc import Sequence
from functools import cache

from gateway.backends.ollama.templates.go.ollama import OllamaTemplate
from gateway.backends.ollama.templates.go.tree import ExecutionFails
from gateway.core.errors import GoTemplateError, InvalidRequest
from gateway.core.types import Message, Role
from gateway.models.chat_template import merged
from gateway.models.spec import System

UNTOLD_TEMPLATE = "{{ .Prompt }}"
"""Shown of a model without a chat template. Conversations are rendered by another: in the recorded
chat with such a model the server counted 74 tokens, as in ChatML, and the texts alone are 39."""
_MARK = "turn-{}-of-a-probe"
_MERGE = 'system = "merge" in its entry in models.toml puts system messages into the user\'s turn'
_RAW = 'route = "raw" in models.toml, with the model\'s chat_template where it is not known'


class ServedConversations:
    """Conversations as a server's template shows them.

    Args:
        template: in Go's language, as the server tells it.
        system: what the entry says of system messages.
    """

    def __init__(self, name: str, template: str, system: System) -> None:
        self._name = name
        self._template = None if template.strip() == UNTOLD_TEMPLATE else _parsed(template)
        self._lost = cache(self._lost_of)
        alone, merges = self._lost(("system", "user")), self._lost(("user",))
        self.merges_system = system == "merge" or (
            system == "auto" and alone == "system" and merges == ""
        )
        """Whether system messages are put into the user's turn: the entry says so, or the template
        shows them nowhere else."""

    def of(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages as they are sent.

        Raises:
            InvalidRequest: the template would not show one of them.
        """
        sent = merged(messages) if self.merges_system else messages
        if lost := self._lost(tuple(message.role for message in sent)):
            raise InvalidRequest(
                f"the Ollama server's template of {self._name} leaves out the {lost}'s turn",
                hint=_MERGE if lost == "system" else _RAW,
                parameter="messages",
            )
        return sent

    def _lost_of(self, roles: tuple[Role, ...]) -> str:
        """The role of the first turn that is not shown; empty: all are, or nobody knows."""
        if self._template is None or "tool" in roles:
            return ""
        marks = [_MARK.format(number) for number in range(len(roles))]
        try:
            shown = self._template.render(list(map(Message, roles, marks)))
        except ExecutionFails:
            shown = ""
        except GoTemplateError:
            return ""
        return next((r for r, mark in zip(roles, marks, strict=True) if mark not in shown), "")


def _parsed(template: str) -> OllamaTemplate | None:
    try:
        return OllamaTemplate(template)
    except GoTemplateError:
        return None
