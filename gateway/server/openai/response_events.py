"""The events of a streamed answer of /v1/responses, numbered and in OpenAI's order.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

import json
from collections.abc import Callable, Sequence

from gateway.core.types import Completion, TokenLogprob, ToolCall
from gateway.server.client_work import Emit
from gateway.server.logprobs import TokenLogprobs, token_logprobs
from gateway.server.message_tokens import MessageTokens
from gateway.server.openai import sse
from gateway.server.openai.response_shape import (
    Failed,
    call_of,
    is_said,
    item_id,
    message_of,
    part_of,
    responded,
    thought_of,
)
from gateway.server.openai.responses_wire import (
    OutputCall,
    OutputMessage,
    OutputReasoning,
    Responded,
    ResponseRequest,
)
from gateway.server.tools import ParsedAnswer


class Events:
    """Tells one answer: what was thought and said, as it comes, and then its calls.

    Args:
        piece: the bytes of a token.
    """

    def __init__(
        self,
        body: ResponseRequest,
        fingerprint: str,
        emit: Emit[str],
        piece: Callable[[int], bytes],
    ) -> None:
        self._body = body
        self._tokens = MessageTokens(piece)
        self._piece = piece
        self._logprobs: list[TokenLogprobs] = []
        """Of the message, as far as it was told."""
        self._fingerprint = fingerprint
        self._emit = emit
        self._number = 0
        self._items = 0
        """Of those that were begun."""
        self._thought = ""
        """What was told of the one that has begun; it ends where anything else begins."""
        self._thoughts: dict[int, OutputReasoning] = {}
        """Those that were told to their end, by their places among the items."""
        self._message = -1
        """Place of the message among the items; negative: it has not begun."""

    def begin(self) -> None:
        """Announce the answer, once."""
        if self._number:
            return
        response = responded(self._body, self._fingerprint, None).model_dump()
        self._send("response.created", response=response)
        self._send("response.in_progress", response=response)

    def tell(
        self, new: ParsedAnswer, tokens: Sequence[TokenLogprob] = (), *, last: bool = False
    ) -> None:
        """The next piece; an empty one is none.

        Args:
            tokens: since the piece before, where their log-probabilities were asked for.
            last: no token follows.
        """
        self._tokens.add(tokens)
        if last:
            self._tokens.end()
        shown = token_logprobs(self._tokens.of(new), self._piece, always_top=True)
        if new.thought:
            self._think(new.thought)
        if new.content:
            self._end_thought()
            self._begin_message()
            self._logprobs += shown
            told = {"delta": new.content, "logprobs": [each.model_dump() for each in shown]}
            self._send("response.output_text.delta", **self._place(), **told)

    def _think(self, text: str) -> None:
        text = text if self._thought else text.lstrip()  # A line's end parts two thoughts.
        if not text:
            return
        if not self._thought:
            index, self._items = self._items, self._items + 1
            begun = self._thought_item("").model_dump()
            self._send("response.output_item.added", output_index=index, item=begun)
        self._thought += text
        self._send("response.reasoning_text.delta", **self._thinking(), delta=text)

    def _end_thought(self) -> None:
        if not self._thought:
            return
        place, whole = self._thinking(), self._thought_item(self._thought)
        self._send("response.reasoning_text.done", **place, text=self._thought)
        index = self._items - 1
        self._send("response.output_item.done", output_index=index, item=whole.model_dump())
        self._thoughts[index], self._thought = whole, ""

    def _thought_item(self, text: str) -> OutputReasoning:
        return thought_of(text, len(self._thoughts))

    def _thinking(self) -> dict[str, object]:
        item = self._thought_item("").id
        return {"item_id": item, "output_index": self._items - 1, "content_index": 0}

    def end(
        self, completion: Completion, said: ParsedAnswer, logprobs: Sequence[TokenLogprobs] = ()
    ) -> Responded:
        """The whole, item by item, and as it is told last.

        Args:
            logprobs: of the message's tokens, where they were not told piece by piece.
        """
        self._logprobs += logprobs
        self._end_thought()
        if is_said(said):
            self._begin_message()
            self._end_message(said.content, cut=completion.finish_reason == "length")
        for call in said.calls:
            self._call(call)
        response = responded(
            self._body, self._fingerprint, completion, said, logprobs=self._logprobs
        )
        told: list[OutputReasoning | OutputMessage | OutputCall] = [
            item for item in response.output if not isinstance(item, OutputReasoning)
        ]
        for index, thought in self._thoughts.items():
            told.insert(index, thought)
        response = response.model_copy(update={"output": told})
        self._send(f"response.{response.status}", response=response.model_dump())
        return response

    def failed(self, code: str, message: str, parameter: str | None) -> str:
        """The last two events: the error, and the answer that failed."""
        error = self._event("error", code=code, message=message, param=parameter)
        response = responded(self._body, self._fingerprint, None, failed=Failed(code, message))
        return error + self._event("response.failed", response=response.model_dump())

    def _place(self) -> dict[str, object]:
        return {"item_id": item_id(), "output_index": self._message, "content_index": 0}

    def _begin_message(self) -> None:
        if self._message >= 0:
            return
        self._message, self._items = self._items, self._items + 1
        item = OutputMessage(
            id=item_id(), type="message", role="assistant", status="in_progress", content=[]
        )
        index = self._message
        self._send("response.output_item.added", output_index=index, item=item.model_dump())
        self._send("response.content_part.added", **self._place(), part=part_of("").model_dump())

    def _end_message(self, text: str, *, cut: bool) -> None:
        place = self._place()
        part = part_of(text, self._logprobs).model_dump()
        told = {"text": text, "logprobs": part["logprobs"]}
        self._send("response.output_text.done", **place, **told)
        self._send("response.content_part.done", **place, part=part)
        item = message_of(text, self._logprobs, cut=cut).model_dump()
        self._send("response.output_item.done", output_index=self._message, item=item)

    def _call(self, call: ToolCall) -> None:
        index, self._items = self._items, self._items + 1
        begun = call_of(self._body, call, "in_progress")
        whole = call_of(self._body, call, "completed")
        place = {"item_id": whole.id, "output_index": index}
        kind = "response.function_call_arguments"
        self._send("response.output_item.added", output_index=index, item=begun.model_dump())
        self._send(f"{kind}.delta", **place, delta=whole.arguments)
        self._send(f"{kind}.done", **place, name=whole.name, arguments=whole.arguments)
        self._send("response.output_item.done", output_index=index, item=whole.model_dump())

    def _send(self, kind: str, **fields: object) -> None:
        self._emit(self._event(kind, **fields))

    def _event(self, kind: str, **fields: object) -> str:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return sse.named(kind, json.dumps(event))
