"""From a template's nodes and a value to text.

Reference: the execution of Go's package text/template (exec.go, funcs.go).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.backends.ollama.templates.go.functions import FUNCTIONS, described, is_true
from gateway.backends.ollama.templates.go.tree import (
    Block,
    Call,
    Constant,
    ExecutionFails,
    Node,
    Operand,
    Pipeline,
    Struct,
    Text,
    Value,
)
from gateway.core.errors import GoTemplateError

_MOST_STEPS = 200_000
"""Nodes and operands that are executed: a template may come from anywhere, and ranges multiply."""
_MOST_TEXT = 1 << 24
"""Characters that are written."""


def execute(nodes: Sequence[Node], data: Value) -> str:
    """What a template writes for a value, which is the dot and $.

    Raises:
        ExecutionFails: something has no such field or the wrong type.
        GoTemplateError: it does what is not done here, or there is no end to it.
    """
    run = _Run([("$", data)])
    run.nodes(nodes, data)
    return "".join(run.written)


@dataclass(slots=True)
class _Run:
    variables: list[tuple[str, Value]]
    """Those of the innermost block last; $ is the first."""
    written: list[str] = field(default_factory=list)
    steps: int = 0
    length: int = 0

    def nodes(self, nodes: Sequence[Node], dot: Value) -> None:
        for node in nodes:
            self._step()
            if isinstance(node, Text):
                self._write(node.text)
            elif isinstance(node, Block):
                self._block(node, dot)
            elif node.pipeline.variables:
                self._give(node.pipeline, dot)
            else:
                self._write(_shown(self._value(node.pipeline, dot)))

    def _step(self) -> None:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise GoTemplateError(f"Go template: more than {_MOST_STEPS} steps")

    def _write(self, text: str) -> None:
        self.length += len(text)
        if self.length > _MOST_TEXT:
            raise GoTemplateError(f"Go template: writes more than {_MOST_TEXT} characters")
        self.written.append(text)

    def _block(self, block: Block, dot: Value) -> None:
        outside = len(self.variables)
        if block.kind == "range":
            self._range(block, dot)
        else:
            value = self._give(block.pipeline, dot)
            if is_true(value):
                self.nodes(block.body, value if block.kind == "with" else dot)
            else:
                self.nodes(block.otherwise or (), dot)
        del self.variables[outside:]

    def _range(self, block: Block, dot: Value) -> None:
        elements = self._value(block.pipeline, dot)
        if elements is None:
            elements = ()
        if isinstance(elements, str) or not isinstance(elements, Sequence):
            raise GoTemplateError(f"Go template: range over {described(elements)} is not done here")
        outside = len(self.variables)
        for number, element in enumerate(elements):
            given: tuple[Value, ...] = (number, element)
            variables = block.pipeline.variables
            for name, value in zip(variables, given[2 - len(variables) :], strict=True):
                self._set(name, value, block.pipeline.declares)
            self.nodes(block.body, element)
            del self.variables[outside:]
        if not elements:
            self.nodes(block.otherwise or (), dot)

    def _give(self, pipeline: Pipeline, dot: Value) -> Value:
        value = self._value(pipeline, dot)
        for name in pipeline.variables:
            self._set(name, value, pipeline.declares)
        return value

    def _set(self, name: str, value: Value, declares: bool) -> None:
        if declares:
            self.variables.append((name, value))
            return
        self.variables[self._place(name)] = (name, value)

    def _place(self, name: str) -> int:
        """Of the innermost variable of that name; the parser has seen that there is one."""
        places = range(len(self.variables) - 1, -1, -1)
        return next(place for place in places if self.variables[place][0] == name)

    def _value(self, pipeline: Pipeline, dot: Value) -> Value:
        first, *others = pipeline.commands
        value = self._command(first, dot)
        for command in others:
            assert isinstance(command, Call)
            value = self._call(command, dot, (value,))
        return value

    def _command(self, command: Operand | Call, dot: Value) -> Value:
        if command == Constant(None):
            raise ExecutionFails("Go template: nil is no value of its own")
        return self._call(command, dot) if isinstance(command, Call) else self._read(command, dot)

    def _read(self, operand: Operand, dot: Value) -> Value:
        self._step()
        if isinstance(operand, Constant):
            return operand.value
        value = dot
        if isinstance(operand.start, Pipeline):
            value = self._value(operand.start, dot)
        elif operand.start:
            value = self.variables[self._place(operand.start)][1]
        for name in operand.names:
            value = _field(value, name)
        return value

    def _call(self, call: Call, dot: Value, last: tuple[Value, ...] = ()) -> Value:
        if call.function in ("and", "or"):
            return self._until(call, dot, last, wanted=call.function == "or")
        arguments = [*(self._read(each, dot) for each in call.arguments), *last]
        return FUNCTIONS[call.function](call.function, arguments)

    def _until(self, call: Call, dot: Value, last: tuple[Value, ...], *, wanted: bool) -> Value:
        """The first argument that is true, or false; those after it are not computed."""
        value: Value = None
        if not call.arguments and not last:
            raise ExecutionFails(f"Go template: {call.function} needs an argument")
        for argument in call.arguments:
            value = self._read(argument, dot)
            if is_true(value) == wanted:
                return value
        return last[0] if last else value


def _field(value: Value, name: str) -> Value:
    if isinstance(value, Struct):
        if name not in value.fields:
            raise ExecutionFails(f"Go template: a message has no field {name}")
        return value.fields[name]
    if isinstance(value, Mapping):
        return value.get(name)
    raise ExecutionFails(f"Go template: {described(value)} has no field {name}")


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if value is None:
        return "<no value>"
    raise GoTemplateError(f"Go template: {described(value)} is not written here")
