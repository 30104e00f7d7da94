"""Jinja chat templates, rendered as transformers renders them, in a sandbox.

Reference: transformers, `utils/chat_template_utils.py` (trim_blocks, lstrip_blocks, loop
controls, `tojson` without HTML escapes, `raise_exception`, `strftime_now`).
"""

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.core.errors import ConfigError, InvalidRequest
from gateway.core.types import Message, Tool, ToolCall
from gateway.models import tool_calls
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

_PROBE = "the-system-message"
_ANSWER = "the-answer"
_THOUGHT = re.compile(r"<think>.*?(</think>|$)", re.DOTALL)

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
        self._source = source
        self._shows_tools = _TOOLS.search(source) is not None
        self._shows_calls = _TOOL_CALLS.search(source) is not None

    def shows_tools(self, special: Mapping[str, str]) -> bool | None:
        """Whether the template shows tools, and calls in the form that the gateway reads; None: in
        another form.

        Args:
            special: as `render`.
        """
        if not self._shows_tools:
            return False
        offered, call = (tool_calls.PROBE,), tool_calls.PROBE_CALL
        asked, called = Message("user", "?"), Message("assistant", "", (call,))
        for turns in ((asked, called, Message("tool", "?", (), call.id)), (asked, called)):
            with contextlib.suppress(InvalidRequest):
                text = self.render(turns, special=special, tools=offered, begin_answer=False)
                return tool_calls.is_read(text) or None
        return (not self._shows_calls and tool_calls.is_described(self._source)) or None

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
        hide: Callable[[str], str] = lambda text: text,
        begin_answer: bool = True,
    ) -> str:
        """The conversation as text that ends where the assistant's answer begins.

        Args:
            special: texts of `bos_token`, `eos_token` and the like.
            tools: functions that the template describes to the model.
            hide: applied to every text that comes from the caller.
            begin_answer: off: the text ends with the last message (`add_generation_prompt`).

        Raises:
            InvalidRequest: the template refuses the conversation (roles out of order, say), or
                would leave out tools or calls that it does not know how to show.
        """
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
        variables: dict[str, Any] = {"messages": [_turn(m, hide) for m in messages], **special}
        if tools:
            variables["tools"] = [_function(tool, hide) for tool in tools]
        try:
            return self._template.render(add_generation_prompt=begin_answer, **variables)
        except (jinja2.TemplateError, TypeError, RecursionError) as exc:
            raise InvalidRequest(f"the chat template refuses the conversation: {exc}") from exc


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
    return "off" if shows is None else "template" if shows else "fallback"


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


def _turn(message: Message, hide: Callable[[str], str]) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": hide(message.content)}
    if message.tool_calls:
        turn["tool_calls"] = [_call(call, hide) for call in message.tool_calls]
    if message.tool_call_id:
        turn["tool_call_id"] = hide(message.tool_call_id)
    return turn


def _call(call: ToolCall, hide: Callable[[str], str]) -> dict[str, Any]:
    """As transformers passes it: the arguments are an object, not its text."""
    arguments = _hidden(_parsed(call.arguments, f"the arguments of the call {call.name!r}"), hide)
    function = {"name": hide(call.name), "arguments": arguments}
    return {"id": hide(call.id), "type": "function", "function": function}


def _function(tool: Tool, hide: Callable[[str], str]) -> dict[str, Any]:
    function = {
        "name": hide(tool.name),
        "description": hide(tool.description),
        "parameters": _hidden(_parsed(tool.parameters, f"the schema of tool {tool.name!r}"), hide),
    }
    return {"type": "function", "function": function}


def _parsed(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"{what} is no JSON: {exc}", parameter="messages") from exc


def _hidden(value: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list):
        return [_hidden(v, hide) for v in value]
    if isinstance(value, dict):
        return {hide(k): _hidden(v, hide) for k, v in value.items()}
    return value


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
