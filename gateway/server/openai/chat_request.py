"""A chat body -> what the backend is asked, and how its answers are to be read."""

import json
from dataclasses import dataclass, replace

from gateway.core.errors import InvalidRequest
from gateway.core.types import Completion, Constraint, GenerationRequest, Message, ToolCall
from gateway.server import tools as calling
from gateway.server.exchange import current
from gateway.server.openai.chat_wire import ChatMessage, ChatRequest, NamedTool
from gateway.server.service import Session


@dataclass(frozen=True, slots=True)
class ChatChoices:
    """One request for each choice, and what is needed to read the answers."""

    requests: tuple[GenerationRequest, ...]
    offer: calling.Offer
    tells_thoughts: bool = True
    """Answers show what was thought."""

    def read(self, done: Completion, sample: int) -> calling.ParsedAnswer:
        """Part the answer of one choice."""
        return calling.noted(done, self.offer, self.requests[sample].messages, sample)


async def ask(body: ChatRequest, session: Session) -> ChatChoices:
    """What the body asks of the session's model.

    Raises:
        InvalidRequest: as `prompt_of`.
        ContextOverflow: the prompt fills the context.
    """
    asked = prompt_of(body, session)
    request = await session.within_context(asked.request, body.most_tokens)
    samples = [
        replace(request, sampling=replace(request.sampling, sample=number))
        for number in range(body.n or 1)
    ]
    return ChatChoices(tuple(samples), asked.offer, body.tells_thoughts)


def prompt_of(body: ChatRequest, session: Session) -> calling.Asked:
    """The conversation. How long the answer may be is not settled yet.

    Raises:
        InvalidRequest: fields contradict, or the model is shown no tools.
    """
    current().parameters["constraint"] = "tools" if body.enforces_call else "response_format"
    request = GenerationRequest(
        model=body.model,
        messages=tuple(_message(message) for message in body.messages),
        sampling=body.sampling(),
        constraint=_format(body),
        reasoning=body.thinking_asked.effort,
        thinking_budget=body.thinking_asked.budget,
        template_variables=body.template_variables,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )
    offer = _offer(body).to(session.backend)
    request = calling.with_offer(request, offer, session.backend.tool_mode)
    return calling.Asked(calling.behind_thought(request, session.backend), offer)


def _offer(body: ChatRequest) -> calling.Offer:
    given = () if body.tool_choice == "none" else body.tools or ()
    choice = body.tool_choice
    return calling.Offer(
        calling.offered(tool.function for tool in given),
        enforced=body.enforces_call,
        name=choice.function.name if isinstance(choice, NamedTool) else "",
        several=body.parallel_tool_calls is not False,
    )


def _format(body: ChatRequest) -> Constraint | None:
    schema = body.response_format.schema_text if body.response_format else None
    return None if schema is None else Constraint("json_schema", schema)


def _message(message: ChatMessage) -> Message:
    calls = tuple(
        ToolCall(call.id, call.function.name, arguments_of(call.function.arguments, "messages"))
        for call in message.tool_calls or ()
    )
    thought = message.reasoning_content or message.reasoning or ""
    return Message(
        message.plain_role, message.text, calls, message.tool_call_id or "", reasoning=thought
    )


def arguments_of(text: str, parameter: str) -> str:
    """A call's arguments as they were sent; none are an empty object.

    Raises:
        InvalidRequest: they are no JSON object.
    """
    try:
        parsed = json.loads(text or "{}")
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise InvalidRequest("a call's arguments are no JSON object", parameter=parameter)
    return text or "{}"
