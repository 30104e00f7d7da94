"""From a model's Jinja chat template to a template of Ollama's, in Go's language.

A Jinja template can do anything; chat templates of most families do little: they put a text
before and after each message. These texts are read off: the template renders conversations whose
messages are marks, and what stands between the marks is put into the few shapes that families
have (`_candidates`). A shape is taken only if it renders the conversations of
`gateway.template_check` as the model's own template does.

    one text for all roles         ChatML, Llama 3, Zephyr
    a text for each role           Phi 3, Gemma, Mistral without a system message, `PLAIN`
    system text in the first turn  Llama 2, Gemma where it takes one
    system text in the last turn   Mistral
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.chat_template import ChatTemplate
from gateway.errors import ConfigError, InvalidRequest
from gateway.template_check import (
    Difference,
    OwnTemplate,
    Probe,
    conversation,
    differences,
    kinds,
    probes,
)

_MARK = "\ue000{}\ue001"
_MARKED = re.compile("\ue000([0-9]+)\ue001")
_DAYS = (datetime(2001, 2, 3), datetime(2032, 11, 14))  # noqa: DTZ001
"""Two days that have no part in common: a text that is read off must be of every day."""
_REFUSES = '{{ slice "this model takes no system message" 99 }}'
"""Fails, and Ollama shows it in the error: a system message must not be lost in silence."""
_SYSTEM_FIRST = 'eq (index $.Messages 0).Role "system"'
_LAST = "eq (len (slice $.Messages $i)) 1"


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
    """The model's own template strips white space around messages, which Go's language can not."""
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
    own, later = (
        OwnTemplate(ChatTemplate(source, clock=lambda day=day: day), special, added)  # type: ignore[misc]
        for day in _DAYS
    )
    _check_same_every_day(own, later)
    texts = _read_off(own)
    if texts is None:
        raise _no_family("it does not render a question, its answer and a question in this order")
    checked = [
        (candidate, differences(own, candidate)) for candidate in dict.fromkeys(_candidates(texts))
    ]
    fitting = [(candidate, found) for candidate, found in checked if not _prohibitive(found)]
    if not fitting:
        nearest = min((_prohibitive(found) for _, found in checked), key=len)
        raise _no_family(f"the nearest Go template differs for {', '.join(kinds(nearest))}")
    candidate, found = min(fitting, key=lambda pair: len(kinds(pair[1])))
    return _translation(own, candidate, found, texts)


def _translation(
    own: OwnTemplate, source: str, found: Sequence[Difference], texts: "_Texts"
) -> Translation:
    differing = {difference.probe for difference in found}
    same = [probe for probe in probes() if probe not in differing]
    refused = [probe for probe in same if _refuses(own, probe)]
    rendered = [each for each in found if each.own is not None]
    return Translation(
        source=source,
        answer_end=texts.assistant_close,
        alike=len(same) - len(refused),
        refused=tuple(dict.fromkeys(probe.kind for probe in refused if not probe.spaced)),
        rendered_only_here=tuple(kinds([each for each in found if each.own is None])),
        strips=any(each.only_space for each in rendered),
        loses_system=texts.system_open is None and not texts.system_refused,
        otherwise=tuple(kinds([each for each in rendered if not each.only_space])),
    )


def _refuses(own: OwnTemplate, probe: Probe) -> bool:
    try:
        own.render(probe.messages)
    except InvalidRequest:
        return True
    return False


def _prohibitive(found: Sequence[Difference]) -> list[Difference]:
    """The differences with which a Go template can not stand for the model's own."""
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


def _check_same_every_day(own: OwnTemplate, later: OwnTemplate) -> None:
    for roles in ("u", "su"):
        messages = conversation(roles, _marks(roles))
        try:
            same = own.render(messages) == later.render(messages)
        except InvalidRequest:
            continue
        if not same:
            raise ConfigError(
                "the chat template writes the day's date, which a Go template can not",
                hint="give the entry a chat_template that does not ask for strftime_now",
            )


def _no_family(why: str) -> ConfigError:
    return ConfigError(
        f"the chat template is of no family that can be said in Go's language: {why}",
        hint="give the entry in models.toml a simpler chat_template, or write the Modelfile's "
        "TEMPLATE by hand",
    )


# What stands between the messages


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts that a chat template puts around messages."""

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
    """None: a system message is refused, or does not stand before the user's."""
    after_system: str = ""
    """Between a system message and the user's."""
    system_refused: bool = False


def _read_off(own: OwnTemplate) -> _Texts | None:
    """None: the messages do not stand in the text, each once and in order."""
    turns = _between(own, "uau")
    if turns is None:
        return None
    first, to_assistant, to_user, end = turns
    user_close = _close(own, "u", to_assistant, end)
    assistant_close = _close(own, "ua", to_user)
    system = _between(own, "su")
    user_open = to_user.removeprefix(assistant_close)
    start = own.special.get("bos_token", "")
    once = not user_open.startswith(start)
    if not (once and all(each[0].startswith(start) for each in (turns, system) if each)):
        start = ""
    return _Texts(
        start=start,
        first_user_open=first.removeprefix(start),
        user_open=user_open,
        user_close=user_close,
        assistant_open=to_assistant.removeprefix(user_close),
        assistant_close=assistant_close,
        answer_open=end.removeprefix(user_close),
        system_open=None if system is None else system[0].removeprefix(start),
        after_system="" if system is None else system[1],
        system_refused=_refuses(own, Probe("", conversation("su", _marks("su")))),
    )


def _marks(roles: str) -> list[str]:
    return [_MARK.format(number) for number in range(len(roles))]


def _between(own: OwnTemplate, roles: str, *, begin_answer: bool = True) -> list[str] | None:
    """The texts before, between and after the messages of a conversation."""
    try:
        text = own.render(conversation(roles, _marks(roles)), begin_answer=begin_answer)
    except InvalidRequest:
        return None
    pieces = _MARKED.split(text)
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


# The shapes


def _candidates(texts: _Texts) -> Iterator[str]:
    """Go templates, the plainest first."""
    if texts.system_open is not None:
        yield from _named_by_role(texts)
        yield from _in_turns(texts)
        yield _system_in_first_turn(texts)
        yield from _system_in_last_turn(texts)
    else:
        yield from _without_system(texts)


def _named_by_role(texts: _Texts) -> Iterator[str]:
    """All roles have one text, in which the role's name stands."""
    before, name, after = texts.user_open.partition("user")
    system_close = texts.after_system.removesuffix(texts.user_open)
    alike = (
        texts.assistant_open == f"{before}assistant{after}"
        and texts.system_open == f"{before}system{after}"
        and texts.user_close == texts.assistant_close == system_close
    )
    if name and alike and texts.first_user_open.endswith(texts.user_open):
        turn = f"{_literal(before)}{{{{ .Role }}}}{_literal(after)}{{{{ .Content }}}}"
        yield (
            f"{_start(texts)}{{{{ range .Messages }}}}{turn}{_literal(texts.user_close)}"
            f"{{{{ end }}}}{_literal(texts.answer_open)}"
        )


def _in_turns(texts: _Texts) -> Iterator[str]:
    """Each role has its texts."""
    fits = texts.after_system.endswith(texts.user_open)
    if fits and texts.first_user_open.endswith(texts.user_open):
        assert texts.system_open is not None
        system_close = texts.after_system.removesuffix(texts.user_open)
        system = f"{_literal(texts.system_open)}{{{{ .Content }}}}{_literal(system_close)}"
        yield _start(texts) + _roles(texts, system, _literal(texts.user_open))


def _start(texts: _Texts) -> str:
    """What stands before the first message, the default system prompt where none is sent."""
    default = _literal(texts.first_user_open.removesuffix(texts.user_open))
    condition = 'ne (index .Messages 0).Role "system"'
    return _literal(texts.start) + (_when((condition, default)) if default else "")


def _system_in_first_turn(texts: _Texts) -> str:
    assert texts.system_open is not None
    user_open = _when(
        ("eq $i 0", _literal(texts.first_user_open)),
        (f"and (eq $i 1) ({_SYSTEM_FIRST})", _literal(texts.after_system)),
        otherwise=_literal(texts.user_open),
    )
    system = f"{_literal(texts.system_open)}{{{{ .Content }}}}"
    return _literal(texts.start) + _roles(texts, system, user_open)


def _system_in_last_turn(texts: _Texts) -> Iterator[str]:
    assert texts.system_open is not None
    if texts.system_open.startswith(texts.first_user_open):
        before = _literal(texts.system_open.removeprefix(texts.first_user_open))
        system = f"{before}{{{{ (index $.Messages 0).Content }}}}{_literal(texts.after_system)}"
        first = f"or (eq $i 0) (and (eq $i 1) ({_SYSTEM_FIRST}))"
        user_open = _when(
            (first, _literal(texts.first_user_open)), otherwise=_literal(texts.user_open)
        ) + _when((f"and ({_LAST}) ({_SYSTEM_FIRST})", system))
        yield _literal(texts.start) + _roles(texts, "", user_open)


def _without_system(texts: _Texts) -> Iterator[str]:
    """A system message is refused as the model's own template does, or left out as it does."""
    first = _when(("eq $i 0", _literal(texts.first_user_open)), otherwise=_literal(texts.user_open))
    refusal = _REFUSES if texts.system_refused else ""
    yield _literal(texts.start) + _roles(texts, refusal, first)


def _roles(texts: _Texts, system: str, user_open: str) -> str:
    """A range over the messages, with what is written for each role."""
    user = f"{user_open}{{{{ .Content }}}}{_literal(texts.user_close)}"
    assistant = (
        f"{_literal(texts.assistant_open)}{{{{ .Content }}}}{_literal(texts.assistant_close)}"
    )
    turns = [("system", system), ("user", user), ("assistant", assistant)]
    numbered = "$i" in user_open
    return (
        ("{{ range $i, $_ := .Messages }}" if numbered else "{{ range .Messages }}")
        + _when(*((f'eq .Role "{role}"', text) for role, text in turns if text))
        + "{{ end }}"
        + _literal(texts.answer_open)
    )


def _when(*branches: tuple[str, str], otherwise: str = "") -> str:
    """An if with its conditions and texts; those that write what is written otherwise are left
    out."""
    differing = [(condition, text) for condition, text in branches if text != otherwise]
    if not differing:
        return otherwise
    chain = "{{ else ".join(f"if {condition} }}}}{text}" for condition, text in differing)
    last = f"{{{{ else }}}}{otherwise}" if otherwise else ""
    return f"{{{{ {chain}{last}{{{{ end }}}}"


def _literal(text: str) -> str:
    """A text as it stands in a Go template: braces that would begin an action become one."""
    return re.sub(r"\{\{|\{\Z", lambda found: f'{{{{ "{found.group()}" }}}}', text)
