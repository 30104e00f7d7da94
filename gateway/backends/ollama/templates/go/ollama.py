"""A template as Ollama uses it: a conversation becomes the text that the model reads.

Reference: Ollama's `template/template.go` (Parse, Execute, collate, deleteNode), version 0.33.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from gateway.backends.ollama.templates.go.executing import execute
from gateway.backends.ollama.templates.go.reading import parse
from gateway.backends.ollama.templates.go.tree import (
    Action,
    Block,
    Node,
    Path,
    Pipeline,
    Struct,
    Value,
    names,
)
from gateway.core.errors import GoTemplateError
from gateway.core.types import Message

_RESPONSE = "Response"
_WRITTEN = Pipeline((Path("", (_RESPONSE,)),))
_NOTHING_ELSE: dict[str, Value] = {"Think": False, "IsThinkSet": False}


class OllamaTemplate:
    """A template that stands in a Modelfile or comes from a server.

    A template that names .Messages gets the whole conversation, system messages included, and
    all system messages joined as .System. Another one is executed once for each question and
    its answer, with .System, .Prompt and .Response, and the last time it is cut behind .Response.

    Of a model without a template, Ollama shows {{ .Prompt }}; in a chat, though, the server inside
    it writes ChatML (recorded with version 0.33).

    Raises:
        GoTemplateError: it does not parse, or uses what is not rendered here.
    """

    def __init__(self, source: str) -> None:
        self._nodes = parse(source)
        named = {name.lower() for name in names(self._nodes)}
        self._whole = bool(named & {"messages", "document"})
        if not named & {"messages", "response"}:
            self._nodes += (Action(_WRITTEN),)

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation as text that ends where the assistant's answer begins.

        Raises:
            ExecutionFails: the template fails for this conversation, in Ollama too.
            GoTemplateError: it does what is not done here.
        """
        joined = _joined(messages)
        if not self._whole:
            return "".join(self._turns(joined))
        system = "\n\n".join(m.content for m in messages if m.role == "system")
        turns = [_turn(role, content) for role, content in joined]
        return execute(
            self._nodes,
            {
                "System": system,
                "Messages": turns,
                "Tools": (),
                "Response": "",
                "Query": "",
                "Document": "",
                "Instruction": "",
                **_NOTHING_ELSE,
            },
        )

    def _turns(self, messages: Sequence[tuple[str, str]]) -> Iterator[str]:
        """One text for each question and its answer; roles that Ollama does not know are lost."""
        system = prompt = response = ""
        for role, content in messages:
            if (role == "system" and (prompt or response)) or (role == "user" and response):
                yield self._once(self._nodes, system, prompt, response)
                system = prompt = response = ""
            if role == "system":
                system = content
            elif role == "user":
                prompt = content
            elif role == "assistant":
                response = content
        yield self._once(_up_to_response(self._nodes)[0], system, prompt, response)

    def _once(self, nodes: Sequence[Node], system: str, prompt: str, response: str) -> str:
        return execute(
            nodes,
            {"System": system, "Prompt": prompt, "Response": response, **_NOTHING_ELSE},
        )


def _joined(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Role and content; messages of one role in a row become one, but not those of tools."""
    found: list[tuple[str, str]] = []
    for role, group in groupby(messages, key=lambda message: message.role):
        contents = [message.content for message in group]
        found += [(role, c) for c in (contents if role == "tool" else ["\n\n".join(contents)])]
    return found


def _turn(role: str, content: str) -> Struct:
    # The fields of Ollama's api.Message.
    return Struct(
        {
            "Role": role,
            "Content": content,
            "Thinking": "",
            "Images": (),
            "ToolCalls": (),
            "ToolName": "",
            "ToolCallID": "",
        }
    )


def _up_to_response(nodes: Sequence[Node]) -> tuple[tuple[Node, ...], bool]:
    """The nodes up to the one that writes .Response, and whether there is one.

    Conditions are not looked into, as Ollama does not.
    """
    kept: list[Node] = []
    for node in nodes:
        cut = False
        if isinstance(node, Block):
            body, cut = _up_to_response(node.body)
            otherwise = node.otherwise
            if otherwise is not None:
                if cut:
                    # deleteNode makes no list of it, and the server stops at that.
                    raise GoTemplateError("Go template: Ollama cannot cut an else after .Response")
                otherwise, cut = _up_to_response(otherwise)
            node = replace(node, body=body, otherwise=otherwise)
        elif isinstance(node, Action):
            cut = _writes_response(node.pipeline)
        kept.append(node)
        if cut:
            return tuple(kept), True
    return tuple(kept), False


def _writes_response(pipeline: Pipeline) -> bool:
    if pipeline == _WRITTEN:
        return True
    if _RESPONSE in names([Action(pipeline)]):
        raise GoTemplateError("Go template: .Response is rendered here only where it stands alone")
    return False
