"""A body of Anthropic's -> what the backend is asked, and how its answer is to be read."""

import json
from dataclasses import replace

from gateway.core.types import Constraint, GenerationRequest, Message, Sampling, ToolCall
from gateway.server import tools as calling
from gateway.server.anthropic.wire import (
    MessagesBody,
    TextBlock,
    ThinkingBlock,
    TokensBody,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
    text_of,
)
from gateway.server.openai.fields import bound
from gateway.server.service import Session


def prompt_of(body: TokensBody, session: Session) -> calling.Asked:
    """The conversation. How long the answer may be is not settled yet.

    Raises:
        InvalidRequest: the model is shown no tools, or the one that is named is none of them.
    """
    messages = [Message("system", system)] if (system := text_of(body.system, "\n\n")) else []
    turns = body.messages
    begun = ""
    if turns[-1].role == "assistant" and isinstance(turns[-1].content, str):
        # The answer goes on from here.
        begun, turns = turns[-1].content, turns[:-1]
    for turn in turns:
        messages += _read(turn)
    offer = _offer(body).to(session.backend)
    request = GenerationRequest(
        body.model,
        messages=tuple(messages),
        answer_start=begun,
        reasoning=body.thinking_asked.effort,
        thinking_budget=body.thinking_asked.budget,
    )
    request = calling.with_offer(request, offer, session.backend.tool_mode)
    return calling.Asked(calling.behind_thought(request, session.backend), offer)


async def ask(body: MessagesBody, session: Session) -> calling.Asked:
    """What the body asks of the session's model.

    Raises:
        InvalidRequest: as `prompt_of`.
        ContextOverflow: the prompt fills the context.
    """
    asked = prompt_of(body, session)
    request = asked.request
    sampling = Sampling(
        temperature=body.temperature or 0.0,
        top_p=1.0 if body.top_p is None else body.top_p,
        top_k=body.top_k or 0,
        stop=(*(body.stop_sequences or ()), *request.sampling.stop),
    )
    schema = body.schema_text
    constraint = request.constraint if schema is None else Constraint("json_schema", schema)
    request = replace(request, sampling=sampling, constraint=constraint)
    request = calling.behind_thought(request, session.backend)
    return replace(asked, request=await session.within_context(request, bound(body.max_tokens)))


def _offer(body: TokensBody) -> calling.Offer:
    choice = body.tool_choice
    given = () if choice is not None and choice.type == "none" else body.tools or ()
    return calling.Offer(
        calling.offered(tool.function for tool in given),
        enforced=body.enforces_call,
        name=(choice.name or "") if choice is not None else "",
        several=not (choice is not None and choice.disable_parallel_tool_use),
    )


def _read(turn: Turn) -> list[Message]:
    """A turn's messages: what tools gave comes before what the user says."""
    if isinstance(turn.content, str):
        return [Message(turn.role, turn.content)]
    results = [block for block in turn.content if isinstance(block, ToolResultBlock)]
    messages = [Message("tool", text_of(r.content), (), r.tool_use_id) for r in results]
    text = "".join(block.text for block in turn.content if isinstance(block, TextBlock))
    calls = tuple(
        ToolCall(block.id, block.name, json.dumps(block.input, ensure_ascii=False))
        for block in turn.content
        if isinstance(block, ToolUseBlock)
    )
    thought = "".join(b.thinking or "" for b in turn.content if isinstance(b, ThinkingBlock))
    if text or calls or not messages:
        messages.append(Message(turn.role, text, calls, reasoning=thought))
    return messages
