"""Options of a command that are fields of a dataclass: named, preset and explained as there."""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from functools import wraps
from itertools import pairwise
from typing import Annotated

import typer


def fields_as_options(
    name: str, kind: type, panels: Mapping[str, str], *, panel: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose parameter of that name is made of options, one a field.

    Args:
        kind: a dataclass whose fields have docstrings.
        panels: field -> where the help lists its option, if not under `panel`.
    """
    assert is_dataclass(kind)
    explained = docstrings(kind)
    options = [_option(f, explained[f.name], panels.get(f.name, panel)) for f in fields(kind)]

    def made(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_options(**given: object) -> None:
            values = {option.name: given.pop(option.name) for option in options}
            command(**given, **{name: kind(**values)})

        signature = inspect.signature(command)
        before = signature.parameters.values()
        after = [new for old in before for new in (options if old.name == name else [old])]
        with_options.__signature__ = signature.replace(parameters=after)  # type: ignore[attr-defined]
        return with_options

    return made


def docstrings(kind: type) -> dict[str, str]:
    """Field -> the text below it, on one line."""
    # Of the class alone, inspect would read and parse the module twice, in every command.
    module = ast.parse(inspect.getsource(sys.modules[kind.__module__]))
    classes = (each for each in ast.walk(module) if isinstance(each, ast.ClassDef))
    return dict(_below_fields(next(each for each in classes if each.name == kind.__name__).body))


def _below_fields(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for above, below in pairwise(body):
        match above, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, " ".join(text.split())


def _option(field: "Field[object]", text: str, panel: str) -> inspect.Parameter:
    # A choice of words is checked where they are known, by the dataclass.
    kind = field.type if field.type in (int, float) else str
    option = typer.Option(help=text, rich_help_panel=panel)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=field.default,
        annotation=Annotated[kind, option],
    )
