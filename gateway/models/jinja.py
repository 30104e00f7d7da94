"""The Jinja of chat templates: transformers' environment in a sandbox that has an end.

Reference: transformers, `utils/chat_template_utils.py` (trim_blocks, lstrip_blocks, loop controls,
`generation` blocks, `tojson` without HTML escapes, `raise_exception`, `strftime_now`).

Texts keep their origins in it (`models.origins`), and what it makes is bounded
(`models.rendering_limits`).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import wraps
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from gateway.models.origins import (
    Traced,
    TracedMarkup,
    as_text,
    holds_traced,
    joined,
    origins_of,
    unsure,
)
from gateway.models.rendering_limits import (
    MOST_CHARACTERS,
    check_function,
    check_length,
    check_operation,
    measure,
    spend,
)

_TRANSPARENT = {"default", "d", "first", "last", "list", "map", "select", "reject", "selectattr"}
_TRANSPARENT |= {"rejectattr", "attr", "items", "dictsort", "sort", "unique", "min", "max"}
"""Filters that give back what they were given, and make no text."""
_RANDOM = ("random",)
_OF_QUEUES = ("append", "pop")
"""Methods that change a list, and that templates may call on lists of their own all the same."""


class _Generator(CodeGenerator):
    """Joins texts by `joined`, which keeps origins."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        self.write("environment.concat((")
        for each in node.nodes:
            self.visit(each, frame)
            self.write(", ")
        self.write("))")


class _Generation(Extension):
    """{% generation %} marks what the assistant wrote, for training; it changes no text."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_inside")
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _inside(self, caller: Callable[[], str]) -> str:
        return caller()


class _Counted(NodeTransformer):
    """Has each round of a loop, each call of a macro, and each list counted."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        self.generic_visit(node)
        node.body.insert(0, _call("spend", node.lineno))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:  # noqa: N802
        self.generic_visit(node)
        node.body.insert(0, _call("spend", node.lineno))
        return node

    def visit_List(self, node: nodes.List) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _made_by("own", node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Expr:  # noqa: N802
        return self._made(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:  # noqa: N802
        return self._made(node) if node.ctx == "load" else node

    def _made(self, node: nodes.Expr) -> nodes.Expr:
        try:
            node.as_const()
        except nodes.Impossible:
            self.generic_visit(node)
            return _made_by("made", node)
        return node


def _made_by(name: str, node: nodes.Expr) -> nodes.Expr:
    made = nodes.Call(nodes.EnvironmentAttribute(name), [node], [], None, None)
    made.set_lineno(node.lineno)
    return made


def _call(name: str, line: int) -> nodes.Stmt:
    call = nodes.Call(nodes.EnvironmentAttribute(name), [], [], None, None)
    statement = nodes.ExprStmt(call)
    statement.set_lineno(line)
    return statement


def _concat(parts: Iterable[Any]) -> str:
    """The parts as one text, which is not made where it is too long."""
    texts, length = [], 0
    for part in parts:
        if not isinstance(part, str):
            measure(part)
        texts.append(part if isinstance(part, str) else as_text(part))
        length += len(texts[-1])
        if length > MOST_CHARACTERS:
            check_length(length)
    return joined(texts)


class _Own(list[Any]):
    """A list that a template has written."""


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Compiles chat templates.

    Args:
        now: what `strftime_now` says.
    """

    code_generator_class = _Generator
    intercepted_binops = frozenset(["+", "*", "**", "%"])
    concat = staticmethod(_concat)
    spend = staticmethod(spend)

    def __init__(self, now: datetime) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        self.filters.update(tojson=_tojson, join=_join, indent=_indent, string=_text, safe=_safe)
        self.filters = {name: _watched(name, made) for name, made in self.filters.items()}
        for name in _RANDOM:
            self.filters[name] = _not_repeatable
        self.globals["lipsum"] = _not_repeatable
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = now.strftime
        self.finalize = _written

    @staticmethod
    def made(value: Any) -> Any:
        """A tuple or an object that a template has written, once it is counted."""
        measure(value)
        return value

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As the reference's, but that a template's own list may grow and shrink: those of Kimi K2
        remember by one which calls wait for a result, and the reference refuses their history."""
        is_queue = isinstance(obj, _Own) and attr in _OF_QUEUES
        return is_queue or super().is_safe_attribute(obj, attr, value)

    @staticmethod
    def own(value: list[Any]) -> list[Any]:
        """A list that a template has written, once it is counted."""
        measure(value)
        return _Own(value)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        counted = _Counted().visit(parsed)
        assert isinstance(counted, nodes.Template)
        return counted

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check_operation(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Counts a call; the methods of texts keep origins, and other texts are unsure."""
        bound = getattr(function, "__wrapped__", function)
        text = getattr(bound, "__self__", None)
        if not isinstance(text, str):
            spend()
            made = super().call(context, function, *args, **kwargs)
            if isinstance(function, Macro) or not isinstance(made, str):
                measure(made) if isinstance(made, dict | list | tuple) else None
                return made
            return _followed(made, (*args, *kwargs.values()))
        check_function(bound.__name__, (text, *args), kwargs)
        given = [*args, *kwargs.values()]
        if bound is function and not isinstance(text, Traced) and holds_traced(given):
            function = getattr(Traced(text, origins_of(text)), function.__name__)
        made = super().call(context, function, *args, **kwargs)
        measure(made) if isinstance(made, list) else None
        return _followed(made, (text, *args, *kwargs.values())) if isinstance(made, str) else made


def _followed(made: str, given: tuple[Any, ...]) -> str:
    """The text, unsure where it was made of a caller's and does not say whose it is."""
    return unsure(made) if not isinstance(made, Traced) and holds_traced(list(given)) else made


def _watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose work is bounded and whose text has origins."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        given = args[first:]
        check_function(name, given, kwargs)
        made = function(*args, **kwargs)
        if isinstance(made, str):
            check_length(len(made))
            follows = name in _TRANSPARENT or isinstance(made, Traced)
            return made if follows else _followed(made, (*given, *kwargs.values()))
        measure(made) if isinstance(made, dict | list | tuple) else None
        return made

    return watched


def _written(value: Any) -> Any:
    """What `{{ value }}` writes, which is not made where it would be endless."""
    measure(value)
    return as_text(value) if isinstance(value, dict | list | tuple) else value


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    made = json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
    return Traced(made) if holds_traced(value) else made


def _text(value: Any) -> str:
    """Jinja's filter `string`."""
    return value if isinstance(value, str) else as_text(value)


def _safe(value: Any) -> Any:
    """Jinja's filter, but that a text with origins keeps them."""
    return TracedMarkup(value, value.origins) if isinstance(value, Traced) else Markup(value)


@jinja2.pass_eval_context
def _join(context: nodes.EvalContext, value: Any, d: str = "", attribute: Any = None) -> str:
    """Jinja's filter, of which `joined` keeps the origins."""
    if attribute is not None:
        value = map(jinja2.filters.make_attrgetter(context.environment, attribute), value)
    parts: list[str] = []
    for each in value:
        parts += [d, as_text(each)] if parts else [as_text(each)]
        spend()
    return _concat(parts)


def _indent(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Jinja's filter of that name, line by line."""
    before = width if isinstance(width, str) else " " * width
    lines: list[str] = (text + "\n").splitlines()
    made = [line if not line and not blank else joined((before, line)) for line in lines[1:]]
    head = joined((before, lines[0])) if first else lines[0]
    return joined(each for number, line in enumerate([head, *made]) for each in _line(number, line))


def _line(number: int, line: str) -> Iterator[str]:
    yield from ("\n", line) if number else (line,)


def _not_repeatable(*_: Any, **__: Any) -> str:
    raise jinja2.TemplateRuntimeError("what is drawn at random cannot be rendered again")


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)
