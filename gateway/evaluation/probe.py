"""Before a run: whether the model is shown all that a strategy has written.

A chat template may leave a turn out, refuse one, or begin a thought that the answer would stand in.
One prompt tells that before it is learned from failed items, or never.
"""

import json
import re
from dataclasses import replace

from gateway.backends.protocol import Backend
from gateway.core.errors import ConfigError, RequestError, Unsupported
from gateway.core.types import Constraint, GenerationRequest, Message
from gateway.models.reasoning import OPENING
from gateway.tasks.prompts import PromptTemplate

_SHOWN = 40
_ANY = Constraint("choices", ("any",))
_ANOTHER = "give its entry in models.toml a chat_template that does not"


def check_prompt(request: GenerationRequest, template: PromptTemplate, backend: Backend) -> None:
    """Render a question and look for what its messages say.

    Raises:
        ConfigError: some of it is missing, or the answer would stand within a thought.
        RequestError: the question cannot be rendered; another one perhaps can.
    """
    try:
        rendered = backend.render(request)
    except Unsupported:
        return  # A server renders it, and tells nobody what it makes of it.
    model = backend.spec.name
    _check_turns(request, backend)
    for message in request.messages:
        if missing := _missing(message.content, rendered.text):
            raise ConfigError(
                f"the chat template of {model} leaves out of the {message.role}'s turn: {missing}",
                hint=_ANOTHER,
            )
    inside = template.mode != "generate" or template.reasoning_tokens or request.answer_start
    if rendered.thinking and inside and not (request.thinks_first or _is_closed(request, backend)):
        raise ConfigError(
            f"the chat template of {model} begins every answer with {OPENING}: the strategy "
            f"{template.strategy!r} would have its answer within that thought",
            hint=f'{_ANOTHER}, or take a strategy with mode = "generate" and no answer block',
        )


def _is_closed(request: GenerationRequest, backend: Backend) -> bool:
    """Whether the thought is closed where labels are scored, or an answer is of a form."""
    try:
        return not backend.render(replace(request, constraint=_ANY)).thinking
    except RequestError:
        return False


def _check_turns(request: GenerationRequest, backend: Backend) -> None:
    """Each turn must come through by itself, also one whose words stand elsewhere as well."""
    marks = [f"turn-{number}-of-a-probe" for number in range(len(request.messages))]
    turns = zip(request.messages, marks, strict=True)
    probe = replace(request, messages=tuple(Message(m.role, mark) for m, mark in turns))
    shown = backend.render(probe).text
    for message, mark in zip(request.messages, marks, strict=True):
        if mark not in shown:
            raise ConfigError(
                f"the chat template of {backend.spec.name} leaves out the {message.role}'s turn "
                f"{_excerpt(message.content)}",
                hint=_ANOTHER,
            )


def _missing(said: str, prompt: str) -> str:
    """The first of a message's words that the prompt lacks, with those behind it; empty: none.

    Words, since a template may trim a text, break its lines anew or write it as JSON does.
    """
    prompt, said, at = prompt.casefold(), said.casefold(), 0
    for word in re.finditer(r"\w+", said):
        found = [prompt.find(form, at) for form in (word[0], json.dumps(word[0])[1:-1])]
        if max(found) < 0:
            return _excerpt(said[word.start() :])
        at = min(place for place in found if place >= 0) + 1
    return ""


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…")
