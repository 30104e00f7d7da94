"""Bodies -> what the backend is asked, in the gateway's own types."""

import json
from collections.abc import Sequence
from dataclasses import replace

from gateway.core.errors import ContextOverflow
from gateway.core.types import GenerationRequest, Message, ToolCall
from gateway.server import tools
from gateway.server.ollama.formats import constraint_of
from gateway.server.ollama.options import Options
from gateway.server.ollama.wire import (
    ChatBody,
    ChatTurn,
    GenerateBody,
    TurnCall,
)
from gateway.server.service import Session


def chat_request(body: ChatBody, session: Session) -> GenerationRequest:
    """The conversation. How long the answer may be is not settled yet: see `fitted`.

    Raises:
        InvalidRequest: fields contradict, or the model's template cannot show the tools.
    """
    offer = tools.Offer(tools.offered(tool.function for tool in body.tools or ()))
    request = GenerationRequest(
        model=body.model,
        messages=_messages(body.messages or ()),
        sampling=(body.options or Options()).sampling(),
        constraint=constraint_of(body.format),
        reasoning=body.effort,
        logprobs=body.alternatives,
    )
    request = tools.with_offer(request, offer, session.backend.tool_mode)
    return tools.behind_thought(request, session.backend)


def generate_request(body: GenerateBody, session: Session) -> GenerationRequest:
    """The question as a conversation of one turn, or the raw prompt; see `fitted`."""
    prompt = body.prompt or ""
    system = [Message("system", body.system)] if body.system else []
    request = GenerationRequest(
        model=body.model,
        messages=() if body.raw else (*system, Message("user", prompt)),
        prompt=prompt if body.raw else None,
        sampling=(body.options or Options()).sampling(),
        constraint=constraint_of(body.format),
        reasoning="" if body.raw else body.effort,
        logprobs=body.alternatives,
    )
    return request if body.raw else tools.behind_thought(request, session.backend)


async def fitted(
    request: GenerationRequest, options: Options, session: Session
) -> GenerationRequest:
    """The request with as many tokens for its answer as it asks for and the context leaves.

    Raises:
        ContextOverflow: the prompt fills the context; it is never cut.
    """
    available = session.backend.context_length
    context = options.context(available)
    filling = await session.filling_context(request)
    prompt_tokens = available - filling.sampling.max_tokens
    left = context - prompt_tokens
    if left < 1:
        raise ContextOverflow(
            prompt_tokens + 1, context, hint="shorten the input or raise options.num_ctx"
        )
    most = min(left, options.most_tokens or left)
    return replace(filling, sampling=replace(filling.sampling, max_tokens=most))


def _messages(given: Sequence[ChatTurn]) -> tuple[Message, ...]:
    """Turns. Ollama's calls have no ids of their own: they are numbered, and the turn of a tool
    answers the first open call of its name."""
    made: list[Message] = []
    open_calls: list[ToolCall] = []
    count = 0
    for message in given:
        calls = []
        for call in message.tool_calls or ():
            calls.append(_call(call, count))
            count += 1
        open_calls += calls
        answered = _answered(message, open_calls) if message.role == "tool" else ""
        open_calls = [call for call in open_calls if call.id != answered]
        text, thought = message.content or "", message.thinking or ""
        made.append(Message(message.role, text, tuple(calls), answered, reasoning=thought))
    return tuple(made)


def _call(call: TurnCall, number: int) -> ToolCall:
    function = call.function
    return ToolCall(call.id or f"call_{number}", function.name, json.dumps(function.arguments))


def _answered(message: ChatTurn, open_calls: Sequence[ToolCall]) -> str:
    """Id of the call that a tool's turn answers; empty where the client left the call out."""
    if message.tool_call_id:
        return message.tool_call_id
    named = (call.id for call in open_calls if message.tool_name in (None, "", call.name))
    return next(named, "")
