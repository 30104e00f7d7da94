"""Jinja chat templates, rendered as transformers renders them, in a sandbox (`models.jinja`)."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain, product
from typing import Any

import jinja2
import jinja2.meta

from gateway.core.errors import ConfigError, InvalidRequest
from gateway.core.types import Message, Tool, ToolCall
from gateway.models import tool_calls
from gateway.models.families.calls import HERMES, Syntax, syntax_named, syntax_of, syntax_told
from gateway.models.jinja import ChatEnvironment
from gateway.models.origins import (
    CALLER,
    TEMPLATE,
    UNSURE,
    Traced,
    joined,
    origins_of,
    plain,
    traced,
)
from gateway.models.rendering_limits import bounded
from gateway.models.spec import Tools
from gateway.models.tool_calls import ToolMode

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

_TOOLS = re.compile(r"\{[{%][^}]*\btools\b")
_TOOL_CALLS = re.compile(r"\{[{%][^}]*\btool_calls\b")
"""What a template reads is found in its tags, not in the text between them."""
_DATE = "strftime_now"
TODAY = "today"

_PROBE = "the-system-message"
_QUESTION, _ANSWER = "the-question-of-a-probe", "the-answer"
_THOUGHT = re.compile(r"<think>.*?(</think>|$)", re.DOTALL)

DAY = datetime(2025, 1, 1)  # noqa: DTZ001 - as templates are told it: of no zone
"""What day it is to a template that asks, unless an entry says another."""

_GIVEN = {"messages", "tools", "documents", "add_generation_prompt"}
_FILE = "<template>"
"""How Jinja calls a template in a traceback."""


@dataclass(frozen=True, slots=True)
class Written:
    """A rendered conversation."""

    text: str
    origins: bytes
    """Of each character: `origins.TEMPLATE` or `origins.CALLER`."""

    def more(self, text: str, origin: int = CALLER) -> "Written":
        """With another text behind it, a caller's unless said otherwise."""
        return Written(self.text + text, self.origins + bytes([origin]) * len(text))

    def spelled(self, control: re.Pattern[str]) -> list[re.Match[str]]:
        """What would be read as a control token and has a caller's character in it."""
        found = control.finditer(self.text)
        return [each for each in found if CALLER in self.origins[each.start() : each.end()]]


class ChatTemplate:
    """A compiled chat template.

    Args:
        source: the Jinja text.
        now: what `strftime_now` says. A template that uses it renders the day into the prompt.

    Raises:
        ConfigError: the template does not compile.
    """

    def __init__(self, source: str, *, now: datetime = DAY) -> None:
        self._template = _compiled(source, now)
        self.source = source
        self._shows_tools = _TOOLS.search(source) is not None and "tools" in _names_in(source)
        self._shows_calls = _TOOL_CALLS.search(source) is not None

    def shows_tools(self, special: Mapping[str, str]) -> bool | None:
        """Whether the template shows tools, and calls in the form that the gateway reads; None: in
        another form.

        Args:
            special: as `render`.
        """
        if not self._shows_tools:
            return False
        return True if self.call_syntax(special) else None

    def call_syntax(self, special: Mapping[str, str]) -> str:
        """Name of the form in which the template shows calls, or tells the model to write them;
        empty: none that is known.

        Args:
            special: as `render`.
        """
        offered, call = (tool_calls.PROBE,), tool_calls.PROBE_CALL
        asked, called = Message("user", _QUESTION), Message("assistant", "", (call,))
        whole = (asked, called, Message("tool", "?", (), call.id))
        for texts, turns in product((False, True), (whole, (asked, called))):
            with contextlib.suppress(InvalidRequest):
                text = self.render(
                    turns, special=special, tools=offered, begin_answer=False, texts=texts
                )
                return self._syntax_in(text, special)
        told = self._told_syntax or syntax_told(self.source)
        return told if told and self._renders_tools(special) else ""

    def _renders_tools(self, special: Mapping[str, str]) -> bool:
        with contextlib.suppress(InvalidRequest):
            self.render((Message("user", _QUESTION),), special=special, tools=(tool_calls.PROBE,))
            return True
        return False

    @property
    def _told_syntax(self) -> str:
        """Name of the form of calls that a template tells of and does not render itself."""
        if self._shows_calls or not self._shows_tools:
            return ""
        described = tool_calls.is_described(self.source)
        return HERMES.name if described else syntax_told(self.source)

    def _syntax_in(self, shown: str, special: Mapping[str, str]) -> str:
        probe = tool_calls.PROBE
        expected = [(probe.name, json.loads(tool_calls.PROBE_CALL.arguments))]
        asked, answer = (Message("user", _QUESTION),), ""
        with contextlib.suppress(InvalidRequest):
            begun = self.render(asked, special=special, tools=(probe,))
            answer = shown[len(begun) :] if shown.startswith(begun) else ""
        # What the template tells of calls stands before the question, if anywhere.
        called = shown.rpartition(_QUESTION)[2]
        return syntax_of(called, answer, expected, probe, tool_calls.PROBE_CALL.id)

    def system_refusal(self, special: Mapping[str, str]) -> str:
        """Why a system message does not come to the model, in the template's own words where it has
        some; empty where it does.

        Args:
            special: as `render`.
        """
        try:
            shown = self.render((Message("system", _PROBE), Message("user", "?")), special=special)
        except InvalidRequest as exc:
            return exc.message
        return "" if _PROBE in shown else "the chat template leaves out system messages"

    def needs_merging(self, special: Mapping[str, str]) -> bool:
        """Whether system messages come to the model only within the user's turn."""
        if not self.system_refusal(special):
            return False
        try:
            return _PROBE in self.render((Message("user", _PROBE),), special=special)
        except InvalidRequest:
            return False

    def leaves_out(self, special: Mapping[str, str]) -> frozenset[str]:
        """Roles of which the template drops earlier turns without a word.

        Args:
            special: as `render`.
        """
        turns = [Message("user", "probe0"), Message("assistant", "probe1")]
        turns.append(Message("user", "probe2"))
        shown = self._probe(turns, (), special)
        lost = {turn.role for turn in turns if shown and turn.content not in shown}
        call, answer = (
            tool_calls.PROBE_CALL,
            Message("tool", "probe3", (), tool_calls.PROBE_CALL.id),
        )
        called = Message("assistant", "", (call,))
        texts, tools = self.takes_texts(special), (tool_calls.PROBE,)
        shown = self._probe((turns[0], called, answer), tools, special, texts=texts)
        return frozenset(lost | ({"tool"} if shown and answer.content not in shown else set()))

    def shows_one_call(self, special: Mapping[str, str]) -> bool:
        """Whether the template drops or refuses all calls of a turn but the first.

        Args:
            special: as `render`.
        """
        calls = [
            ToolCall(f"probecal{n}", tool_calls.PROBE.name, f'{{"k": "probe{n}"}}') for n in "12"
        ]
        texts = self.takes_texts(special)
        both, one = (
            self._probe(
                (Message("user", "?"), Message("assistant", "", tuple(calls[:count]))),
                (tool_calls.PROBE,),
                special,
                texts=texts,
            )
            for count in (2, 1)
        )
        return "probe1" in (both or one) and "probe2" not in both

    def _probe(
        self,
        turns: Sequence[Message],
        tools: Sequence[Tool],
        special: Mapping[str, str],
        *,
        texts: bool = False,
    ) -> str:
        """What is rendered, in small letters; empty: the template refuses it."""
        with contextlib.suppress(InvalidRequest):
            shown = self.render(
                turns, special=special, tools=tools, begin_answer=False, texts=texts
            )
            return shown.lower()
        return ""

    def behind_an_answer(self, special: Mapping[str, str]) -> str:
        """What the template puts behind an answer that stands where one begins. Empty: nothing, or
        an answer is put elsewhere (into a channel, say), so that this is not how one ends.

        Args:
            special: as `render`.
        """
        asked, said = Message("user", "?"), Message("assistant", _ANSWER)
        try:
            begun = self.render((asked,), special=special)
            whole = self.render((asked, said), special=special, begin_answer=False)
        except InvalidRequest:
            return ""
        before, found, behind = whole.rpartition(_ANSWER)
        same = found and _THOUGHT.sub("", before).rstrip() == _THOUGHT.sub("", begun).rstrip()
        # It begins the next answer, whether asked to or not.
        begins_again = begun.endswith(behind.lstrip())
        return behind if same and not begins_again else ""

    def render(
        self,
        messages: Sequence[Message],
        *,
        special: Mapping[str, str],
        tools: Sequence[Tool] = (),
        begin_answer: bool = True,
        variables: Mapping[str, object] | None = None,
        texts: bool = False,
    ) -> str:
        """The conversation as text that ends where the assistant's answer begins.

        Args:
            special: texts of `bos_token`, `eos_token` and the like.
            tools: functions that the template describes to the model.
            begin_answer: off: the text ends with the last message (`add_generation_prompt`).
            variables: others that the template is given, such as `enable_thinking`.
            texts: see `takes_texts`.

        Raises:
            InvalidRequest: the template refuses the conversation (roles out of order, say) or
                fails, or would leave out tools or calls that it does not know how to show.
        """
        self._check_tools(messages, tools)
        more = {**special, **(variables or {}), "add_generation_prompt": begin_answer}
        return self._shown(messages, tools, more, texts)[0]

    def takes_texts(self, special: Mapping[str, str]) -> bool:
        """Whether the template shows calls whose arguments are given as text, and fails where they
        are an object, as transformers gives them.

        Args:
            special: as `render`.
        """
        turns = (Message("user", _QUESTION), Message("assistant", "", (tool_calls.PROBE_CALL,)))
        tools = (tool_calls.PROBE,)
        return not self._probe(turns, tools, special) and bool(
            self._probe(turns, tools, special, texts=True)
        )

    def _shown(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        more: Mapping[str, object],
        texts: bool,
    ) -> tuple[str, dict[str, Any]]:
        """The text, and what the template was given for it."""
        given = self._given(messages, tools)
        given = _with_texts(given) if texts else given
        return plain(self._run({**_plain(given), **more})), given

    def write(
        self,
        messages: Sequence[Message],
        *,
        special: Mapping[str, str],
        control: re.Pattern[str] | None,
        tools: Sequence[Tool] = (),
        variables: Mapping[str, object] | None = None,
        texts: bool = False,
    ) -> Written:
        """As `render`, and who wrote which character.

        It is rendered twice: the text is that of plain texts, and texts that tell who wrote them
        only say where each character is from. Where the two differ, nobody knows.

        Args:
            control: matches what would be read as a control token.
            texts: see `takes_texts`.

        Raises:
            InvalidRequest: as `render`; or a caller's text spells a control token, and nobody
                knows which of those in the prompt are the template's.
        """
        self._check_tools(messages, tools)
        more = {**special, **(variables or {}), "add_generation_prompt": True}
        text, given = self._shown(messages, tools, more, texts)
        given = traced(given)
        for turn in given["messages"]:
            turn["role"] = plain(turn["role"])
        origins = bytes([UNSURE]) * len(text)
        with contextlib.suppress(InvalidRequest):
            shown = self._run({**given, **more})
            origins = origins_of(shown) if shown == text else origins
        if UNSURE in origins and control is not None:
            _check_unsure(text, origins, control, _texts([given["messages"], given["tools"]]))
        return Written(text, origins.replace(bytes([UNSURE]), bytes([TEMPLATE])))

    def _check_tools(self, messages: Sequence[Message], tools: Sequence[Tool]) -> None:
        if tools and not self._shows_tools:
            raise InvalidRequest(
                "this model's chat template does not show tools to the model",
                hint="give its entry in models.toml a chat_template that does",
                parameter="tools",
            )
        if any(m.tool_calls for m in messages) and not self._shows_calls:
            raise InvalidRequest(
                "this model's chat template does not show earlier tool calls to the model",
                hint="give its entry in models.toml a chat_template that does",
                parameter="messages",
            )

    def with_calls_written(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The conversation with calls in the text of their turns, as the model writes them, for a
        template that tells of calls and shows none; unchanged for all others."""
        syntax = syntax_named(self._told_syntax)
        if not self._told_syntax or syntax.write is None:
            return messages
        return [_with_calls_written(m, syntax) if m.tool_calls else m for m in messages]

    def _given(self, messages: Sequence[Message], tools: Sequence[Tool]) -> dict[str, Any]:
        """What transformers gives a template, beside the special tokens."""
        names = {call.id: call.name for message in messages for call in message.tool_calls}
        return {
            "messages": [_turn(message, names, self._thoughts) for message in messages],
            "tools": [_function(tool) for tool in tools] or None,
            "documents": None,
        }

    @property
    def variables(self) -> frozenset[str]:
        """Names of what it may be given beside the conversation."""
        return _names_in(self.source) - _GIVEN

    @property
    def _thoughts(self) -> tuple[str, ...]:
        """The names by which the template reads what was thought before an earlier answer."""
        return tuple(name for name in _THOUGHTS if _reads(self.source, name))

    def _run(self, variables: Mapping[str, Any]) -> str:
        given = _texts([variables["messages"], variables["tools"]])
        with bounded(sum(map(len, given))):
            try:
                return self._template.render(variables)
            except Exception as exc:  # A template can fail in every way that Python can.
                raise InvalidRequest(_told(exc)) from exc


@lru_cache(maxsize=64)
def _compiled(source: str, now: datetime) -> jinja2.Template:
    try:
        return ChatEnvironment(now).from_string(source)
    except jinja2.TemplateSyntaxError as exc:
        raise ConfigError(
            f"the model's chat template does not compile: line {exc.lineno}: {exc.message}"
        ) from exc
    except (jinja2.TemplateError, RecursionError, SyntaxError, ValueError) as exc:
        raise ConfigError(f"the model's chat template does not compile: {exc}") from exc


@lru_cache(maxsize=64)
def _names_in(source: str) -> frozenset[str]:
    """Names of all that a template reads and is given."""
    parsed = ChatEnvironment(DAY).parse(source)
    return frozenset(jinja2.meta.find_undeclared_variables(parsed))


def _told(exc: Exception) -> str:
    """What a template said when it refused, or how it failed, and in which line."""
    line, step = 0, exc.__traceback__
    while step is not None:
        line = step.tb_lineno if step.tb_frame.f_code.co_filename == _FILE else line
        step = step.tb_next
    where = f" (line {line} of the template)" if line else ""
    if type(exc) is jinja2.TemplateError:
        return f"the chat template refuses the conversation: {exc}{where}"
    kind = "" if isinstance(exc, jinja2.TemplateError) else f"{type(exc).__name__}: "
    return f"the chat template fails: {kind}{exc}{where}"


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        yield from chain.from_iterable(map(_texts, value))


def _check_unsure(text: str, origins: bytes, control: re.Pattern[str], said: Iterator[str]) -> None:
    spelled = {found.group() for each in said for found in control.finditer(each)}
    for found in control.finditer(text):
        if found.group() in spelled and UNSURE in origins[found.start() : found.end()]:
            raise InvalidRequest(
                f"a message spells {found.group()}, and what the chat template does with it leaves "
                "open which of them are control tokens",
                hint="send the text without it",
                parameter="messages",
            )


def asks_the_date(source: str) -> bool:
    """Whether a template asks what day it is."""
    return _DATE in source


def day_of(written: str) -> datetime:
    """What day a template is told, as an entry says it.

    "today" is the day on which the model is loaded: so long its prompts stay the same.

    Raises:
        ConfigError: it is no day.
    """
    if written == TODAY:
        now = datetime.now(UTC).astimezone()
        return datetime(now.year, now.month, now.day)  # noqa: DTZ001
    try:
        return datetime.fromisoformat(written).replace(tzinfo=None) if written else DAY
    except ValueError:
        raise ConfigError(
            f"date = {written[:40]!r} is no day", hint='"2025-01-31", with a time, or "today"'
        ) from None


def tool_mode(asked: Tools, source: str | None, special: Mapping[str, str]) -> ToolMode:
    """Who shows tools to the model, as the entry asks for or the chat template allows.

    Args:
        source: the template; None: there is none.
        special: as `ChatTemplate.render`.
    """
    if asked != "auto":
        return asked
    return _probed(source, tuple(special.items())) if source else "off"


@lru_cache(maxsize=64)
def _probed(source: str, special: tuple[tuple[str, str], ...]) -> ToolMode:
    """Remembered, because a list of models asks it of every one each time."""
    try:
        shows = ChatTemplate(source).shows_tools(dict(special))
    except ConfigError:
        return "off"  # It does not compile, as the first conversation will tell.
    # In a form that is not read, calls would come back as text.
    return "template" if shows else "fallback"


def call_syntax(source: str, special: Mapping[str, str]) -> str:
    """As `ChatTemplate.call_syntax`, remembered."""
    return _syntax(source, tuple(special.items()))


@lru_cache(maxsize=64)
def _syntax(source: str, special: tuple[tuple[str, str], ...]) -> str:
    return ChatTemplate(source).call_syntax(dict(special))


def merged(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation with each system message put before the user's next turn, as a paragraph;
    without such a turn it becomes one."""
    turns: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message.role == "system":
            waiting.append(message.content)
        elif message.role == "user" and waiting:
            turns.append(Message("user", "\n\n".join([*waiting, message.content])))
            waiting = []
        else:
            turns.append(message)
    return (*turns, Message("user", "\n\n".join(waiting))) if waiting else tuple(turns)


def one_call_a_turn(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation with each call in a turn of its own, before what its tool answered."""
    turns: list[Message] = []
    waiting: list[ToolCall] = []
    for message in messages:
        if message.role == "tool":
            asked = [call for call in waiting if call.id == message.tool_call_id]
            turns += [Message("assistant", "", (call,)) for call in asked]
            waiting = [call for call in waiting if call not in asked]
            turns.append(message)
            continue
        turns += [Message("assistant", "", (call,)) for call in waiting]
        waiting = list(message.tool_calls[1:])
        turns.append(replace(message, tool_calls=message.tool_calls[:1]))
    return (*turns, *(Message("assistant", "", (call,)) for call in waiting))


_THOUGHTS = ("reasoning_content", "thinking", "reasoning")
"""Names by which templates read what was thought before an answer; the first is the usual one."""


def _reads(source: str, name: str) -> bool:
    """Whether a template reads this of a message."""
    return re.search(rf"\.{name}\b|\[['\"]{name}['\"]\]|['\"]{name}['\"] in ", source) is not None


def _turn(message: Message, names: Mapping[str, str], thoughts: Sequence[str]) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        # transformers gives it by these two names, the first before all other fields.
        named = dict.fromkeys(("reasoning_content", *thoughts), message.reasoning)
        turn = {"thinking": message.reasoning, **turn, **named}
    if message.tool_calls:
        turn["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
        if message.tool_call_id in names:
            turn["name"] = names[message.tool_call_id]
    return turn


def _with_calls_written(message: Message, syntax: Syntax) -> Message:
    """The marks of the calls are control tokens, and no caller's text."""
    assert syntax.write is not None
    calls = [_call(call)["function"] for call in message.tool_calls]
    made = syntax.write([(each["name"], each["arguments"]) for each in calls])
    opened = next((mark for mark in syntax.opening if made.startswith(mark)), "")
    closed = next((mark for mark in syntax.marks if made.endswith(mark)), "")
    inner = Traced(made[len(opened) : len(made) - len(closed)])
    said = [Traced(message.content), "\n"] if message.content else []
    text = joined([*said, Traced(opened, bytes(len(opened))), inner, closed])
    return replace(message, content=text, tool_calls=())


def _with_texts(given: dict[str, Any]) -> dict[str, Any]:
    """What a template is given, with the arguments of each call as their text."""
    turns = [
        {**turn, "tool_calls": [_with_text(call) for call in turn["tool_calls"]]}
        if "tool_calls" in turn
        else turn
        for turn in given["messages"]
    ]
    return {**given, "messages": turns}


def _with_text(call: dict[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    """What a template is given, with turns whose text remembers nothing."""
    turns = [{**turn, "content": plain(turn["content"])} for turn in given["messages"]]
    return {**given, "messages": turns}


def _call(call: ToolCall) -> dict[str, Any]:
    """As transformers passes it: the arguments are an object, not its text."""
    arguments = _parsed(call.arguments, f"the arguments of the call {call.name!r}")
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _function(tool: Tool) -> dict[str, Any]:
    if tool.definition:
        return {"type": "function", "function": _parsed(tool.definition, f"tool {tool.name!r}")}
    described = {"description": tool.description} if tool.description else {}
    parameters = _parsed(tool.parameters, f"the schema of tool {tool.name!r}")
    function = {"name": tool.name, **described, "parameters": parameters}
    return {"type": "function", "function": function}


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"{what} is no JSON: {exc}", parameter="messages") from exc
