"""The form in which models write tool calls that the gateway reads, and tools for chat templates
that show none.

The form is that of Hermes, Qwen and many others: a JSON object with `name` and `arguments` between
<tool_call> and </tool_call> (https://github.com/NousResearch/Hermes-Function-Calling).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from gateway.core.types import Message, Tool, ToolCall

OPENING, CLOSING = "<tool_call>", "</tool_call>"
ANSWER_START = f"{OPENING}\n"
"""How an answer begins that must be a call."""

ToolMode = Literal["template", "fallback", "off"]
"""Who shows tools to a model: its chat template; the system message, in the words below; nobody."""

_DESCRIBED = re.compile(OPENING + r'(?:\s|\\n)*\{\{?\s*\\?"name\\?"')
"""A template that describes the form to the model in its own text, or in a text of Jinja's."""

PROBE = Tool(
    "probe_tool",
    "Probes",
    '{"type": "object", "properties": {"probe_key": {"type": "string", "description": "Probed"}},'
    ' "required": ["probe_key"]}',
)
PROBE_CALL = ToolCall("callprobe", PROBE.name, '{"probe_key": "probe_value"}')
"""Its id is one that Mistral's templates take."""

_INTRODUCTION = (
    "You can call these tools. Each line is the signature of one, with a JSON schema of its "
    "arguments:"
)
_INSTRUCTION = (
    "To call a tool, answer with nothing but this, the tool's name and its arguments put in:\n"
    f'{OPENING}\n{{"name": "TOOL", "arguments": {{"ARGUMENT": "VALUE"}}}}\n{CLOSING}'
)


def is_described(source: str) -> bool:
    """Whether a chat template that shows no earlier calls tells the model the form that is read."""
    return bool(_DESCRIBED.search(source))


def are_in(messages: Sequence[Message]) -> bool:
    """Whether a conversation holds calls or what tools answered."""
    return any(message.tool_calls or message.role == "tool" for message in messages)


def as_text(messages: Sequence[Message], tools: Sequence[Tool]) -> tuple[Message, ...]:
    """The conversation with tools and calls as plain text, for a chat template that shows none.

    The tools stand at the end of the first system message, which is made where there is none. Calls
    are in their assistant's turn, and what tools answered is a turn of the user's.
    """
    turns: list[Message] = []
    answers: list[str] = []
    for message in messages:
        if message.role == "tool":
            answers.append(f"<tool_response>\n{message.content}\n</tool_response>")
            continue
        turns += _answered(answers)
        answers = []
        turns.append(_spoken(message))
    turns += _answered(answers)
    return _with_tools(turns, tools) if tools else tuple(turns)


def _answered(answers: Sequence[str]) -> list[Message]:
    return [Message("user", "\n".join(answers))] if answers else []


def _spoken(message: Message) -> Message:
    calls = [
        f'{OPENING}\n{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}\n{CLOSING}'
        for call in message.tool_calls
    ]
    content = "\n".join([*([message.content] if message.content else []), *calls])
    return replace(message, content=content, tool_calls=())


def _with_tools(turns: Sequence[Message], tools: Sequence[Tool]) -> tuple[Message, ...]:
    told = "\n".join([_INTRODUCTION, *map(_signature, tools), _INSTRUCTION])
    if turns and turns[0].role == "system":
        first = replace(turns[0], content=f"{turns[0].content}\n\n{told}")
        return (first, *turns[1:])
    return (Message("system", told), *turns)


def _signature(tool: Tool) -> str:
    described = {"description": tool.description} if tool.description else {}
    parameters = json.loads(tool.parameters)
    return json.dumps({"name": tool.name, **described, "parameters": parameters})
