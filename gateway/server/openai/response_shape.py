"""What /v1/responses answers: the object, whole or as far as it is."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.core.types import Completion, ToolCall
from gateway.server.exchange import current
from gateway.server.logprobs import TokenLogprobs
from gateway.server.openai.responses_wire import (
    FunctionTool,
    Incomplete,
    InputDetails,
    NamedFunctionTool,
    Namespace,
    NamespacedCall,
    OfflineSearch,
    OutputCall,
    OutputDetails,
    OutputMessage,
    OutputReasoning,
    OutputText,
    ReasoningAsked,
    Responded,
    ResponseError,
    ResponseRequest,
    ResponseUsage,
    called_in,
)
from gateway.server.tools import ParsedAnswer

Status = Literal["in_progress", "completed", "incomplete", "failed"]


@dataclass(frozen=True, slots=True)
class Failed:
    """Why an answer ended before its time."""

    code: str
    message: str


def responded(
    body: ResponseRequest,
    fingerprint: str,
    done: Completion | None,
    said: ParsedAnswer | None = None,
    failed: Failed | None = None,
    logprobs: Sequence[TokenLogprobs] = (),
) -> Responded:
    """The answer; None: before there is any of it.

    Args:
        logprobs: of the tokens of its message.
    """
    status = _status(done, said, failed)
    form = body.text.format if body.text and body.text.format else None
    shown = form.model_dump(by_alias=True, exclude_none=True) if form else {"type": "text"}
    now = int(time.time())
    return Responded(
        id="resp_" + current().id.removeprefix("req_"),
        object="response",
        created_at=now - int(current().seconds),
        completed_at=now if status == "completed" else None,
        status=status,
        error=ResponseError(code=failed.code, message=failed.message) if failed else None,
        incomplete_details=Incomplete(reason="max_output_tokens")
        if status == "incomplete"
        else None,
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        metadata=body.metadata or {},
        model=body.model,
        output=output_of(body, done, said, logprobs) if done and said else [],
        parallel_tool_calls=body.parallel_tool_calls is not False,
        previous_response_id=None,
        background=False,
        frequency_penalty=0.0,
        presence_penalty=0.0,
        max_tool_calls=None,
        prompt_cache_key=body.prompt_cache_key,
        reasoning=ReasoningAsked(effort=body.reasoning.effort if body.reasoning else None),
        safety_identifier=body.safety_identifier,
        service_tier="default",
        top_logprobs=body.top_logprobs or 0,
        user=body.user,
        store=False,
        temperature=body.temperature or 0.0,
        text={"format": shown},
        tool_choice=_choice(body),
        tools=[_tool(tool) for tool in body.tools or () if not isinstance(tool, OfflineSearch)],
        top_p=1.0 if body.top_p is None else body.top_p,
        truncation="disabled",
        usage=_usage(done),
        system_fingerprint=fingerprint,
    )


def output_of(
    body: ResponseRequest,
    done: Completion,
    said: ParsedAnswer,
    logprobs: Sequence[TokenLogprobs] = (),
) -> list[OutputReasoning | OutputMessage | OutputCall]:
    """The items: what was said, unless only calls were made; and the calls."""
    items: list[OutputReasoning | OutputMessage | OutputCall] = []
    if said.thought:
        items.append(thought_of(said.thought))
    if is_said(said):
        cut = done.finish_reason == "length"
        items.append(message_of(said.content, logprobs, cut=cut))
    return [*items, *(call_of(body, call, "completed") for call in said.calls)]


def is_said(said: ParsedAnswer) -> bool:
    """Whether an answer has a message: with neither calls nor a thought also an empty one."""
    return bool(said.content) or not (said.calls or said.thought)


def thought_of(text: str, number: int = 0) -> OutputReasoning:
    """A thought as an item; empty, one that begins.

    Args:
        number: how many items of thoughts stand before it.
    """
    return OutputReasoning(
        id=item_id("rs") + (f"_{number}" if number else ""),
        type="reasoning",
        status="completed" if text else "in_progress",
        summary=[],
        content=[{"type": "reasoning_text", "text": text}] if text else [],
    )


def message_of(text: str, logprobs: Sequence[TokenLogprobs], *, cut: bool) -> OutputMessage:
    """What was said, as an item."""
    return OutputMessage(
        id=item_id(),
        type="message",
        role="assistant",
        status="incomplete" if cut else "completed",
        content=[part_of(text, logprobs)],
    )


def call_of(
    body: ResponseRequest, call: ToolCall, status: Literal["in_progress", "completed"]
) -> OutputCall:
    """A call as an item; in progress it has no arguments yet."""
    named = {called_in(namespace, f.name): (namespace, f.name) for namespace, f in body.functions}
    namespace, name = named.get(call.name, ("", call.name))
    made = OutputCall(
        id="fc_" + call.id.removeprefix("call_"),
        type="function_call",
        status=status,
        call_id=call.id,
        name=name,
        arguments=call.arguments if status == "completed" else "",
    )
    return NamespacedCall(**made.model_dump(), namespace=namespace) if namespace else made


def part_of(text: str, logprobs: Sequence[TokenLogprobs] = ()) -> OutputText:
    """A text as a part of an item."""
    return OutputText(type="output_text", text=text, annotations=[], logprobs=list(logprobs))


def item_id(kind: str = "msg") -> str:
    """Of the one message or thought of an answer."""
    return f"{kind}_" + current().id.removeprefix("req_")


def _status(done: Completion | None, said: ParsedAnswer | None, failed: Failed | None) -> Status:
    if failed is not None:
        return "failed"
    if done is None:
        return "in_progress"
    cut = done.finish_reason == "length" and not (said and said.calls and not said.cut)
    return "incomplete" if cut else "completed"


def _tool(tool: FunctionTool | Namespace) -> dict[str, Any]:
    """As it was offered."""
    if isinstance(tool, Namespace):
        return tool.model_dump(exclude_none=True) | {"tools": [_tool(f) for f in tool.tools]}
    return {"description": None, "strict": None, **tool.model_dump(exclude_none=True)}


def _choice(body: ResponseRequest) -> str | dict[str, Any]:
    if isinstance(body.tool_choice, NamedFunctionTool):
        return body.tool_choice.model_dump(exclude_none=True)
    return body.tool_choice or "auto"


def _usage(done: Completion | None) -> ResponseUsage | None:
    if done is None:
        return None
    read, written = done.usage.prompt_tokens, done.usage.completion_tokens
    return ResponseUsage(
        input_tokens=read,
        input_tokens_details=InputDetails(cached_tokens=0),
        output_tokens=written,
        output_tokens_details=OutputDetails(reasoning_tokens=done.usage.reasoning_tokens),
        total_tokens=read + written,
    )
