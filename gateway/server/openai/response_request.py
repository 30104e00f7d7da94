"""A body of /v1/responses -> what the backend is asked, and how its answer is to be read."""

from collections.abc import Iterator
from dataclasses import replace

from gateway.core.errors import InvalidRequest
from gateway.core.types import (
    Constraint,
    GenerationRequest,
    Message,
    Role,
    Sampling,
    ToolCall,
)
from gateway.server import tools as calling
from gateway.server.exchange import current
from gateway.server.openai.chat_request import arguments_of
from gateway.server.openai.fields import bound
from gateway.server.openai.responses_wire import (
    CallItem,
    CallOutputItem,
    FunctionTool,
    InputMessage,
    NamedFunctionTool,
    ReasoningItem,
    ResponseRequest,
    called_in,
)
from gateway.server.service import Session


async def ask(body: ResponseRequest, session: Session) -> calling.Asked:
    """What the body asks of the session's model.

    Raises:
        InvalidRequest: as `prompt_of`.
        ContextOverflow: the prompt fills the context.
    """
    asked = prompt_of(body, session)
    request = await session.within_context(asked.request, bound(body.max_output_tokens))
    return replace(asked, request=request)


def prompt_of(body: ResponseRequest, session: Session) -> calling.Asked:
    """The conversation. How long the answer may be is not settled yet.

    Raises:
        InvalidRequest: fields contradict, or the model is shown no tools.
    """
    if body.enforces_call:
        current().parameters["constraint"] = "tools"
    schema = body.text.format.schema_text if body.text and body.text.format else None
    request = GenerationRequest(
        body.model,
        messages=_messages(body),
        sampling=Sampling(
            temperature=body.temperature or 0.0,
            top_p=1.0 if body.top_p is None else body.top_p,
        ),
        constraint=None if schema is None else Constraint("json_schema", schema),
        reasoning=body.thinking_asked.effort,
        thinking_budget=body.thinking_asked.budget,
        logprobs=body.alternatives,
    )
    offer = _offer(body).to(session.backend)
    request = calling.with_offer(request, offer, session.backend.tool_mode)
    return calling.Asked(calling.behind_thought(request, session.backend), offer)


def _offer(body: ResponseRequest) -> calling.Offer:
    choice = body.tool_choice
    return calling.Offer(
        calling.offered(() if choice == "none" else _shown(body)),
        enforced=body.enforces_call,
        name=choice.called if isinstance(choice, NamedFunctionTool) else "",
        several=body.parallel_tool_calls is not False,
    )


def _shown(body: ResponseRequest) -> Iterator[FunctionTool]:
    """The functions under the names that the model is shown."""
    for namespace, function in body.functions:
        yield function.model_copy(update={"name": called_in(namespace, function.name)})


def _messages(body: ResponseRequest) -> tuple[Message, ...]:
    """The turns. Calls that follow each other, or the text before them, are one turn."""
    turns = [Message("system", body.instructions)] if body.instructions else []
    if isinstance(body.input, str):
        return (*turns, Message("user", body.input))
    called: set[str] = set()
    thought = ""
    for number, item in enumerate(body.input):
        if isinstance(item, InputMessage):
            role = _role(item.role)
            turns.append(Message(role, item.text, reasoning=thought if role == "assistant" else ""))
            thought = ""
        elif isinstance(item, ReasoningItem):
            thought = "\n".join(filter(None, (thought, item.text)))
        elif isinstance(item, CallOutputItem):
            if item.call_id not in called:
                raise InvalidRequest(
                    f"input[{number}]: no function_call before it has the call_id {item.call_id!r}",
                    parameter=f"input[{number}].call_id",
                )
            turns.append(Message("tool", item.text, (), item.call_id))
        elif isinstance(item, CallItem):
            called.add(item.call_id)
            call = ToolCall(item.call_id, item.called, arguments_of(item.arguments, "input"))
            is_begun = bool(turns) and turns[-1].role == "assistant"
            before = turns.pop() if is_begun else Message("assistant", "")
            thought = "\n".join(filter(None, (before.reasoning, thought)))
            calls = (*before.tool_calls, call)
            turns.append(replace(before, reasoning=thought, tool_calls=calls))
            thought = ""
    return tuple(turns)


def _role(role: str) -> Role:
    if role == "user":
        return "user"
    return "assistant" if role == "assistant" else "system"
