"""A chat body -> what the backend is asked, and how its answers are to be read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.core.errors import InvalidRequest
from gateway.core.types import Constraint, GenerationRequest, Message, Tool, ToolCall
from gateway.server import tools as calling
from gateway.server.exchange import current
from gateway.server.openai.chat_wire import ChatMessage, ChatRequest, NamedTool
from gateway.server.service import Session


@dataclass(frozen=True, slots=True)
class ChatChoices:
    """One request for each choice, and what is needed to read the answers."""

    requests: tuple[GenerationRequest, ...]
    tools: tuple[Tool, ...] = ()
    """Those whose calls are looked for."""
    enforced: bool = False
    """The answer is a call and nothing else."""

    def read(self, text: str, sample: int) -> calling.ParsedAnswer:
        """Part the answer of one choice."""
        if not self.tools:
            return calling.ParsedAnswer(text, ())
        salt = calling.salt_of(self.requests[sample].messages, sample)
        read = calling.read_enforced if self.enforced else calling.read_calls
        return read(text, self.tools, salt)


async def ask(body: ChatRequest, session: Session) -> ChatChoices:
    """What the body asks of the session's model.

    Raises:
        InvalidRequest: fields contradict, or the model's template cannot show the tools.
        ContextOverflow: the prompt fills the context.
    """
    current().parameters["constraint"] = "tools" if body.enforces_call else "response_format"
    request = GenerationRequest(
        model=body.model,
        messages=tuple(_message(message) for message in body.messages),
        sampling=body.sampling(),
        constraint=_format(body),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )
    given = () if body.tool_choice == "none" else body.tools or ()
    offered = calling.offered(tool.function for tool in given)
    if offered:
        calling.check_readable(session.backend.chat_template)
        request = _with_tools(body, request, offered)
    request = await session.within_context(request, body.most_tokens)
    samples = [
        replace(request, sampling=replace(request.sampling, sample=number))
        for number in range(body.n or 1)
    ]
    return ChatChoices(tuple(samples), offered, body.enforces_call)


def _with_tools(
    body: ChatRequest, request: GenerationRequest, offered: tuple[Tool, ...]
) -> GenerationRequest:
    request = replace(request, tools=offered)
    if body.enforces_call:
        constraint = calling.constraint_of(_named(body.tool_choice, offered))
        return replace(request, answer_start=calling.ANSWER_START, constraint=constraint)
    if body.parallel_tool_calls is False:
        # The text after the first call is never written; the call is read without its end.
        stop = (*request.sampling.stop, calling.CLOSING)
        return replace(request, sampling=replace(request.sampling, stop=stop))
    return request


def _named(choice: object, offered: Sequence[Tool]) -> Sequence[Tool]:
    if not isinstance(choice, NamedTool):
        return offered
    found = [tool for tool in offered if tool.name == choice.function.name]
    if not found:
        raise InvalidRequest(
            f"no tool is called {choice.function.name!r}", parameter="tool_choice.function.name"
        )
    return found


def _format(body: ChatRequest) -> Constraint | None:
    schema = body.response_format.schema_text if body.response_format else None
    return None if schema is None else Constraint("json_schema", schema)


def _message(message: ChatMessage) -> Message:
    calls = tuple(
        ToolCall(call.id, call.function.name, _arguments(call.function.arguments))
        for call in message.tool_calls or ()
    )
    return Message(message.plain_role, message.text, calls, message.tool_call_id or "")


def _arguments(text: str) -> str:
    try:
        parsed = json.loads(text or "{}")
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise InvalidRequest("a call's arguments are no JSON object", parameter="messages")
    return text or "{}"
