"""Tool calls: how they are read back from an answer's text, and how one is enforced.

Which text a model writes for one: `gateway.models.tool_calls`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.backends.protocol import Backend
from gateway.core.digests import canonical_json, digest_json
from gateway.core.errors import InvalidRequest
from gateway.core.types import (
    Completion,
    Constraint,
    GenerationRequest,
    Message,
    Tool,
    ToolCall,
)
from gateway.models.families.calls import (
    HERMES,
    Objects,
    Syntax,
    begins_at,
    found_in,
    may_begin,
    syntax_named,
)
from gateway.models.families.grammar import begun, of_calls, of_objects, unreadable
from gateway.models.families.readers import Found
from gateway.models.families.thoughts import EFFORTS, OFF, USUAL
from gateway.models.families.values import schemas_of
from gateway.models.reasoning import OPENS, Parting
from gateway.models.tool_calls import CLOSING, ToolMode
from gateway.server.exchange import current
from gateway.server.schemas import closed
from gateway.server.wire import FunctionDefinition

_ID_DIGITS = 24
_SHORT_DIGITS = 9
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """An answer, parted into what was said and what is to be called."""

    content: str
    calls: tuple[ToolCall, ...]
    thought: str = ""
    """What was thought before; a call that it mentions is none."""
    cut: bool = False
    """Whether tokens ran out within a further call that was enforced."""
    left_out: int = 0
    """How many calls were written behind the only one that was asked for."""


def offered(functions: Iterable[FunctionDefinition]) -> tuple[Tool, ...]:
    """The tools that a body offers; one without parameters takes an empty object.

    Raises:
        InvalidRequest: two have one name.
    """
    made = tuple(
        Tool(
            function.name,
            function.description or "",
            json.dumps(function.parameters or {"type": "object", "properties": {}}),
            json.dumps(function.as_written, ensure_ascii=False),
        )
        for function in functions
    )
    if len({tool.name for tool in made}) < len(made):
        raise InvalidRequest("two tools have one name", parameter="tools")
    return made


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of a request, and how they are to be used."""

    tools: tuple[Tool, ...] = ()
    enforced: bool = False
    """The answer is a call and nothing else."""
    name: str = ""
    """Of the one that has to be called; empty: any."""
    several: bool = True
    """Whether an answer may call more than one."""
    syntax: str = ""
    """Name of the form in which the model writes calls."""
    grammars: bool = True
    """Whether the backend holds answers to any grammar: without, what is enforced is one object."""

    def to(self, backend: Backend) -> "Offer":
        """The offer, as this backend's model and what computes it take it."""
        grammars = backend.spec.can.grammars
        return replace(self, syntax=backend.call_syntax, grammars=grammars)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for one answer, and what is needed to read it."""

    request: GenerationRequest
    offer: Offer

    @property
    def is_formed(self) -> bool:
        """Whether the answer has to be of a form, so that it thinks at most once, at first."""
        return self.request.constraint is not None

    def read(self, done: Completion) -> ParsedAnswer:
        """Part the answer."""
        return noted(done, self.offer, self.request.messages)


def with_offer(request: GenerationRequest, offer: Offer, mode: ToolMode) -> GenerationRequest:
    """The request with its tools.

    Raises:
        InvalidRequest: the model is shown no tools, or the one that is named is none of them.
    """
    if not offer.tools:
        return request
    if mode == "off":
        raise InvalidRequest(
            "this model is shown no tools: its entry says so, or it has no chat template",
            hint='tools = "fallback" in its entry in models.toml shows them in the system message',
            parameter="tools",
        )
    request = replace(request, tools=offer.tools)
    if offer.enforced:
        start, constraint = enforcement(offer)
        return replace(request, answer_start=start, answer_markup=True, constraint=constraint)
    if not offer.several and syntax_named(offer.syntax) is HERMES:
        # The text after the first call is never written; the call is read without its end.
        stop = (*request.sampling.stop, CLOSING)
        return replace(request, sampling=replace(request.sampling, stop=stop))
    return request


def behind_thought(request: GenerationRequest, backend: Backend) -> GenerationRequest:
    """The request, in which what has to be of a given form stands behind a thought, where it or the
    model's entry asks for one."""
    begun = request.answer_start and not request.answer_markup
    if request.constraint is None or begun or not _asks_for_thought(request, backend):
        return request
    return replace(request, thinks_first=True)


def _asks_for_thought(request: GenerationRequest, backend: Backend) -> bool:
    asked = request.reasoning or backend.spec.reasoning
    if asked == USUAL:
        return any(name in backend.chat_template for name in EFFORTS)
    bounded = request.thinking_budget is not None and OPENS.search(backend.chat_template)
    return asked != OFF and bool(asked or bounded)


def _named(offer: Offer) -> Sequence[Tool]:
    if not offer.name:
        return offer.tools
    found = [tool for tool in offer.tools if tool.name == offer.name]
    if not found:
        raise InvalidRequest(f"no tool is called {offer.name!r}", parameter="tool_choice")
    return found


def noted(
    done: Completion, offer: Offer, messages: Sequence[Message] = (), sample: int = 0
) -> ParsedAnswer:
    """As `read`; calls that are left out are told to the log and the metrics."""
    said = read(done, offer, messages, sample)
    if said.left_out:
        current().calls_left_out[sample] = said.left_out
    return said


def read(
    done: Completion, offer: Offer, messages: Sequence[Message] = (), sample: int = 0
) -> ParsedAnswer:
    """Part an answer to a request with that offer; see `read_calls`.

    Args:
        messages: what is answered.
        sample: number of the answer.
    """
    thought, text = (done.reasoning.text if done.reasoning else ""), done.said
    if not offer.tools:
        return ParsedAnswer(text.removeprefix(syntax_named(offer.syntax).header), (), thought)
    # Behind a thought the beginning of a call is written with it.
    start = enforcement(offer)[0] if offer.enforced and not done.reasoning else ""
    salt = digest_json([canonical_json([repr(m) for m in messages]), sample])
    taken = frozenset(call.id for message in messages for call in message.tool_calls)
    most = None if offer.several else 1
    said = read_calls(start + text, offer.tools, salt, syntax_named(offer.syntax), taken, most)
    if offer.enforced and said.calls:
        said = replace(said, content="", cut=done.finish_reason == "length")
    return replace(said, thought=thought)


def read_calls(
    text: str,
    tools: Sequence[Tool],
    salt: str,
    syntax: Syntax = HERMES,
    taken: frozenset[str] = frozenset(),
    most: int | None = None,
) -> ParsedAnswer:
    """Part an answer. What looks like a call and is none of a known tool stays text.

    Args:
        salt: told apart by it, equal calls in different turns get different ids; the same request
            always gets the same.
        taken: ids that calls of the conversation have.
        most: how many calls are read; the answer ends behind them. None: all.
    """
    said, found = found_in(text, syntax, schemas_of(tools))
    left_out = len(found[most:]) if most else 0
    if left_out:
        said, found = found_in(text[: found[0].end], syntax, schemas_of(tools))
        found = found[:most]
    calls: list[ToolCall] = []
    for number, each in enumerate(found):
        call = _call(each, f"{salt}/{number}", syntax)
        known = each.id and each.id not in taken | {call.id for call in calls}
        calls.append(replace(call, id=each.id) if known else call)
    content = said.rstrip("\n") if calls else said
    return ParsedAnswer(content, tuple(calls), left_out=left_out)


def enforcement(offer: Offer) -> tuple[str, Constraint]:
    """How an answer begins that must be a call, and what may follow.

    Raises:
        InvalidRequest: the model's form of calls cannot be enforced.
    """
    tools, syntax = _named(offer), syntax_named(offer.syntax)
    most = syntax.most if offer.several and not offer.name else 1
    if syntax.objects is not None:
        most = most if offer.grammars or syntax.objects.listed else 1
        constraint = constraint_of(tools, syntax.objects, most)
        if most > 1 and not syntax.objects.listed:
            schema = json.loads(str(constraint.value))
            constraint = Constraint("lark", of_objects(syntax, syntax.objects, schema, most))
        return syntax.objects.start, constraint
    if not syntax.before:
        raise InvalidRequest(
            "a call cannot be enforced in the form of this model's chat template",
            hint='leave it to the model with "auto", or tools = "fallback" in its entry',
            parameter="tool_choice",
        )
    functions = [(tool.name, _schema(tool)) for tool in tools]
    if key := unreadable(syntax, functions):
        raise InvalidRequest(
            f"a call with the argument {key!r:.60} cannot be enforced: in the form in which this "
            "model writes calls, it could not be read back",
            hint="another name of it, or tool_choice: auto",
            parameter="tools",
        )
    if most == 1 and len(tools) == 1 and syntax.tags is None:
        return begun(syntax, functions), Constraint("json_schema", json.dumps(functions[0][1]))
    return begun(syntax, functions), Constraint("lark", of_calls(syntax, functions, most))


def constraint_of(tools: Sequence[Tool], objects: Objects, most: int = 1) -> Constraint:
    """Lets out just a JSON object that calls one of the tools with arguments of its schema.

    Args:
        objects: how it is written.
        most: how many such objects a list may have, where calls are one.

    Raises:
        InvalidRequest: a schema is no JSON object.
    """
    definitions: dict[str, Any] = {}
    numbers = [str(number) for number in range(most)]
    shown: dict[str, Any] = {objects.number: {"enum": numbers}} if objects.number else {}
    calls = [
        _call_schema(tool, number, objects, shown, definitions) for number, tool in enumerate(tools)
    ]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    if objects.listed:
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": most}
    if definitions:
        schema = {**schema, "$defs": definitions}
    return Constraint("json_schema", json.dumps(schema))


class Telling:
    """Lets through what is certain of an answer that grows: of the thought, and of the content.

    Args:
        opened: the prompt ended within a thought.
        only: as `part`.
    """

    def __init__(self, offer: Offer, *, opened: bool, only: bool = False) -> None:
        self._parting = Parting(opened=opened, only=only)
        syntax = syntax_named(offer.syntax)
        self._held = HeldBack(syntax) if offer.tools or syntax.header else None
        self._enforced = offer.enforced and bool(offer.tools)

    def add(self, text: str) -> ParsedAnswer:
        """Take the next piece; return what is new."""
        thought, content = self._parting.add(text)
        if self._held is not None:
            content = "" if self._enforced else self._held.add(content)
        return ParsedAnswer(content, (), thought)

    def rest(self, done: Completion, said: ParsedAnswer) -> ParsedAnswer:
        """What of the whole was not let through yet, without the calls."""
        thought, content = self._parting.rest(said.thought, done.said)
        if self._held is not None:
            content = self._held.rest(said.content)
        return ParsedAnswer(content, (), thought)


class HeldBack:
    """Lets an answer's text through as it grows, up to where a call may begin."""

    def __init__(self, syntax: Syntax = HERMES) -> None:
        self._syntax = syntax
        self._header = syntax.header
        self._tail = ""
        """What was not let through; line ends behind all that was are counted instead."""
        self._lines = 0
        self._given = 0
        self._begun = False
        """Whether a call may have begun: nothing is let through any more."""

    def add(self, text: str) -> str:
        """Take the next piece; return what is certainly content."""
        if self._begun:
            return ""
        self._tail += text
        if self._header and not self._read_header():
            return ""
        fresh = self._certain()
        self._given += len(fresh)
        return fresh

    def _read_header(self) -> bool:
        """Whether the header was read, which is no content; what begins otherwise is a call."""
        header, self._begun = self._header, not self._header.startswith(self._tail)
        if not self._tail.startswith(header):
            return False
        self._header, self._tail, self._begun = "", self._tail.removeprefix(header), False
        return True

    def _certain(self) -> str:
        """The next text up to where a call may begin, without the line ends before that: those
        belong to neither."""
        is_known = not self._syntax.opening and (self._given or self._lines)
        at = None if is_known else begins_at(self._tail, self._syntax, header="")
        self._begun = at is not None
        waits = 0 if is_known else may_begin(self._tail, self._syntax)
        whole = self._tail[: len(self._tail) - waits if at is None else at]
        said = whole.rstrip("\n")
        fresh = "\n" * self._lines + said if said else ""
        self._lines = len(whole) - len(said) + (0 if said else self._lines)
        self._tail = self._tail[len(whole) :]
        return fresh

    def rest(self, content: str) -> str:
        """What of the whole content was not let through yet."""
        return content[self._given :]


def _call(found: Found, salt: str, syntax: Syntax) -> ToolCall:
    arguments = _as_json(found.arguments)
    number = digest_json([salt, found.name, arguments])
    made = number[:_SHORT_DIGITS] if syntax.short_ids else f"call_{number[:_ID_DIGITS]}"
    return ToolCall(made, found.name, arguments)


def _as_json(arguments: Mapping[str, Any]) -> str:
    """The arguments as JSON, in which half a character is escaped, since it has no UTF-8 form."""
    text = json.dumps(arguments, ensure_ascii=False)
    return json.dumps(arguments) if _HALF.search(text) else text


def _call_schema(
    tool: Tool,
    number: int,
    objects: Objects,
    shown: Mapping[str, Any],
    definitions: dict[str, Any],
) -> dict[str, Any]:
    """Schema of a call of one tool. Its own definitions move to the root, where references look.

    Args:
        shown: properties that stand before its name.
    """
    schema = _schema(tool)
    local = {
        name: f"tool{number}_{name}"
        for key in ("$defs", "definitions")
        for name in schema.get(key, {})
    }
    for key in ("$defs", "definitions"):
        for name, definition in schema.pop(key, {}).items():
            definitions[local[name]] = _renamed(definition, local)
    fields = {**shown}
    fields |= {objects.name: {"const": tool.name}} if objects.name else {}
    fields[objects.key if objects.name else tool.name] = _renamed(schema, local)
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def _schema(tool: Tool) -> dict[str, Any]:
    schema = json.loads(tool.parameters)
    if not isinstance(schema, dict):
        raise InvalidRequest(f"the schema of tool {tool.name!r} is no object", parameter="tools")
    return closed({"type": "object", **schema})


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The schema with references to its definitions pointing to their new names."""
    if isinstance(value, list):
        return [_renamed(v, names) for v in value]
    if not isinstance(value, dict):
        return value
    made = {key: _renamed(v, names) for key, v in value.items()}
    reference = made.get("$ref")
    if isinstance(reference, str):
        for root in ("#/$defs/", "#/definitions/"):
            if (name := reference.removeprefix(root)) in names:
                made["$ref"] = f"#/$defs/{names[name]}"
    return made
