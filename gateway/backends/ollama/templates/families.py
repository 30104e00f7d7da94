"""From a model's Jinja chat template to a template of Ollama's, in Go's language.

A Jinja template can do anything; chat templates of most families do little: they put a text
before and after each message. These texts are read off (`templates.texts`) and put into the few
shapes that families have. A shape is taken only if it renders the conversations of
`templates.check` as the model's own template does.

    one text for all roles         ChatML, Llama 3, Zephyr, Phi 3
    a text for each role           `PLAIN`, Gemma and Mistral that take no system message
    system text in the first turn  Llama 2, Gemma where it takes one
    system text in the last turn   Mistral
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.backends.ollama.templates.check import (
    Difference,
    OwnTemplate,
    differences,
    kinds,
    probes,
)
from gateway.backends.ollama.templates.texts import Texts, read_off, rendered_marks
from gateway.core.errors import ConfigError
from gateway.models.chat_template import ChatTemplate

_DAYS = (datetime(2001, 2, 3), datetime(2032, 11, 14))  # noqa: DTZ001
"""Two days that have no part in common: a text that is read off must be of every day."""

_CONTENT = "{{ .Content }}"
_END = "{{ end }}"
_REFUSES = '{{ slice "this model takes no system message" 99 }}'
"""Fails, and Ollama's error shows it: a system message must not be lost in silence."""
_FIRST = "eq $i 0"
_SYSTEM_FIRST = '(eq (index $.Messages 0).Role "system")'
_BEHIND_SYSTEM = f"and (eq $i 1) {_SYSTEM_FIRST}"
_LAST_WITH_SYSTEM = f"and (eq (len (slice $.Messages $i)) 1) {_SYSTEM_FIRST}"


@dataclass(frozen=True, slots=True)
class Translation:
    """A Go template, and how it was found to be the model's own."""

    source: str
    answer_end: str
    """What the model's template puts after an answer; empty where it puts nothing."""
    alike: int
    """Conversations of which both templates make the same text."""
    refused: tuple[str, ...]
    """Kinds of conversation that both refuse."""
    rendered_only_here: tuple[str, ...]
    """Kinds that the model's own template refuses and this one renders."""
    strips: bool
    """The model's own template strips white space around messages, which Go's language cannot."""
    loses_system: bool
    """Both leave out the text of a system message."""
    otherwise: tuple[str, ...]
    """Unusual kinds of conversation of which the two make two texts."""


def translate(source: str, special: Mapping[str, str], added: str) -> Translation:
    """Say a Jinja chat template in Go's language.

    Args:
        special: texts of `bos_token` and `eos_token`.
        added: the text that the vocabulary puts before every prompt by itself; empty: none.

    Raises:
        ConfigError: the template does not compile, is of no known family, or writes the date.
    """
    own, later = (OwnTemplate(_on(day, source), special, added) for day in _DAYS)
    if any(rendered_marks(own, roles) != rendered_marks(later, roles) for roles in ("u", "su")):
        raise ConfigError(
            "the chat template writes the day's date, which a Go template cannot",
            hint="give the entry a chat_template that does not ask for strftime_now",
        )
    texts = read_off(own)
    if texts is None:
        raise _no_family("it does not render a question, its answer and a question in this order")
    candidate, found = _fitting(own, dict.fromkeys(_candidates(texts)))
    differing = {each.probe for each in found}
    same = [probe for probe in probes() if probe not in differing]
    refused = [probe for probe in same if own.render(probe.messages) is None]
    rendered = [each for each in found if each.own is not None]
    return Translation(
        source=candidate,
        answer_end=texts.assistant_close,
        alike=len(same) - len(refused),
        refused=tuple(dict.fromkeys(probe.kind for probe in refused if not probe.spaced)),
        rendered_only_here=tuple(kinds([each for each in found if each.own is None])),
        strips=any(each.only_space for each in rendered),
        loses_system=texts.system_open is None and not texts.system_refused,
        otherwise=tuple(kinds([each for each in rendered if not each.only_space])),
    )


def _on(day: datetime, source: str) -> ChatTemplate:
    return ChatTemplate(source, now=day)


def _fitting(own: OwnTemplate, candidates: Iterable[str]) -> tuple[str, list[Difference]]:
    """The candidate that can stand for the model's own and differs in the fewest kinds."""
    checked = [(candidate, differences(own, candidate)) for candidate in candidates]
    fitting = [(candidate, found) for candidate, found in checked if not _prohibitive(found)]
    if not fitting:
        nearest = min((_prohibitive(found) for _, found in checked), key=len)
        raise _no_family(f"the nearest Go template differs for {', '.join(kinds(nearest))}")
    return min(fitting, key=lambda pair: len(kinds(pair[1])))


def _prohibitive(found: Sequence[Difference]) -> list[Difference]:
    """The differences with which a Go template cannot stand for the model's own."""
    strips = any(each.probe.spaced and each.only_space for each in found)
    return [each for each in found if not _allowed(each, strips)]


def _allowed(difference: Difference, strips: bool) -> bool:
    if difference.own is None:
        return True
    if difference.probe.spaced:
        return difference.only_space
    # A template that strips may strip its own text too, where a message's text is empty.
    empty = any(not message.content for message in difference.probe.messages)
    return not difference.probe.usual or (strips and empty and difference.only_space)


def _no_family(why: str) -> ConfigError:
    return ConfigError(
        f"the chat template is of no family that can be said in Go's language: {why}",
        hint="give the entry in models.toml a simpler chat_template, or write the Modelfile's "
        "TEMPLATE by hand",
    )


# The shapes


def _candidates(texts: Texts) -> Iterator[str]:
    """Go templates, the plainest first."""
    if texts.system_open is None:
        yield _without_system(texts)
        return
    system_open, behind = texts.system_open, texts.after_system
    apart = all(t.endswith(texts.user_open) for t in (texts.first_user_open, behind))
    if apart:
        system_close = behind.removesuffix(texts.user_open)
        yield from _named_by_role(texts, system_open, system_close)
        system = _literal(system_open) + _CONTENT + _literal(system_close)
        yield _start(texts) + _roles(texts, system, _literal(texts.user_open))
    yield _system_in_first_turn(texts, system_open)
    if system_open.startswith(texts.first_user_open):
        yield _system_in_last_turn(texts, system_open.removeprefix(texts.first_user_open))


def _named_by_role(texts: Texts, system_open: str, system_close: str) -> Iterator[str]:
    """All roles have one text, in which the role's name stands."""
    before, name, after = texts.user_open.partition("user")
    opens = [f"{before}{role}{after}" for role in ("system", "assistant")]
    closes = {system_close, texts.user_close, texts.assistant_close}
    if name and opens == [system_open, texts.assistant_open] and len(closes) == 1:
        turn = _literal(before) + "{{ .Role }}" + _literal(after) + _CONTENT
        turn += _literal(texts.user_close)
        yield _start(texts) + _range(turn, numbered=False) + _literal(texts.answer_open)


def _system_in_first_turn(texts: Texts, system_open: str) -> str:
    user_open = _when(
        (_FIRST, _literal(texts.first_user_open)),
        (_BEHIND_SYSTEM, _literal(texts.after_system)),
        otherwise=_literal(texts.user_open),
    )
    return _literal(texts.start) + _roles(texts, _literal(system_open) + _CONTENT, user_open)


def _system_in_last_turn(texts: Texts, before_system: str) -> str:
    user_open = _when(
        (f"or ({_FIRST}) ({_BEHIND_SYSTEM})", _literal(texts.first_user_open)),
        otherwise=_literal(texts.user_open),
    )
    system = "{{ (index $.Messages 0).Content }}"
    system = _literal(before_system) + system + _literal(texts.after_system)
    user_open += _when((_LAST_WITH_SYSTEM, system))
    return _literal(texts.start) + _roles(texts, "", user_open)


def _without_system(texts: Texts) -> str:
    """A system message is refused as the model's own template does, or left out as it does."""
    user_open = _when(
        (_FIRST, _literal(texts.first_user_open)), otherwise=_literal(texts.user_open)
    )
    refusal = _REFUSES if texts.system_refused else ""
    return _literal(texts.start) + _roles(texts, refusal, user_open)


def _start(texts: Texts) -> str:
    """What stands before the first message, the default system prompt where none is sent."""
    default = _literal(texts.first_user_open.removesuffix(texts.user_open))
    return _literal(texts.start) + _when(('ne (index .Messages 0).Role "system"', default))


def _roles(texts: Texts, system: str, user_open: str) -> str:
    """What is written for each role, and where the answer begins."""
    turns = {
        "system": system,
        "user": user_open + _CONTENT + _literal(texts.user_close),
        "assistant": _literal(texts.assistant_open) + _CONTENT + _literal(texts.assistant_close),
    }
    turn = _when(*((f'eq .Role "{role}"', text) for role, text in turns.items()))
    return _range(turn, numbered="$i" in user_open) + _literal(texts.answer_open)


def _range(turn: str, *, numbered: bool) -> str:
    variables = "$i, $_ := " if numbered else ""
    return f"{_action(f'range {variables}.Messages')}{turn}{_END}"


def _when(*branches: tuple[str, str], otherwise: str = "") -> str:
    """An if with its conditions and texts, without those that write what is written otherwise."""
    differing = [(condition, text) for condition, text in branches if text != otherwise]
    if not differing:
        return otherwise
    words = ["if", *["else if"] * (len(differing) - 1)]
    parts = [
        _action(f"{word} {condition}") + text
        for word, (condition, text) in zip(words, differing, strict=True)
    ]
    last = _action("else") + otherwise if otherwise else ""
    return "".join(parts) + last + _END


def _action(inside: str) -> str:
    return "{{ " + inside + " }}"


def _literal(text: str) -> str:
    """A text as it stands in a Go template: braces that would begin an action become one."""
    return re.sub(r"\{\{|\{\Z", lambda found: _action(f'"{found.group()}"'), text)
