"""The report as JSON, and back again without loss."""

import json
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from gateway.core.errors import DataError
from gateway.scoring.results import CellTimings, Report

_HINT = "it has to be a report.json as gateway wrote it"


def render_json(report: Report) -> str:
    """Indented JSON with sorted keys; lone surrogates stay what they are, as escapes.

    Raises:
        DataError: a number is not finite; JSON has no word for that.
    """
    return dumped(asdict(report))


def render_timings_json(timings: Sequence[CellTimings]) -> str:
    """The measured seconds, one object a cell.

    Raises:
        DataError: a number is not finite.
    """
    return dumped([asdict(cell) for cell in timings])


def load_report(text: str) -> Report:
    """The inverse of `render_json`.

    Raises:
        DataError: the text is no report; the message names the value that is wrong.
    """
    try:
        raw = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise DataError(f"report.json: no JSON: {exc}", hint=_HINT) from exc
    return cast(Report, _read(Report, raw, "report"))


def dumped(value: Any) -> str:
    """Indented JSON with sorted keys.

    Raises:
        DataError: a number is not finite.
    """
    try:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)
    except ValueError as exc:
        raise DataError(f"the report can not be written as JSON: {exc}") from exc
    return text + "\n"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _read(kind: Any, raw: Any, at: str) -> Any:
    """A value of the annotated type `kind`. `at` is where the value stands, for the message."""
    if is_dataclass(kind):
        return _read_object(cast(type[Any], kind), raw, at)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        return _read_optional(arguments, raw, at)
    if origin is Literal:
        _require(isinstance(raw, str) and raw in arguments, at, raw, " or ".join(arguments))
        return raw
    if origin is tuple:
        _require(isinstance(raw, list), at, raw, "a list")
        return tuple(_read(arguments[0], item, f"{at}[{i}]") for i, item in enumerate(raw))
    if origin is Mapping:
        _require(isinstance(raw, dict), at, raw, "an object")
        return {key: _read(arguments[1], item, f"{at}.{key}") for key, item in raw.items()}
    return _read_scalar(kind, raw, at)


def _read_object(kind: type[Any], raw: Any, at: str) -> Any:
    _require(isinstance(raw, dict), at, raw, "an object")
    hints = get_type_hints(kind)
    known = {field.name for field in fields(kind)}
    needed = {
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    }
    if missing := sorted(needed - raw.keys()):
        raise DataError(f"report.json: {at} lacks {', '.join(missing)}", hint=_HINT)
    if unknown := sorted(raw.keys() - known):
        raise DataError(f"report.json: {at} has unknown keys: {unknown}", hint=_HINT)
    return kind(**{name: _read(hints[name], item, f"{at}.{name}") for name, item in raw.items()})


def _read_optional(arguments: tuple[Any, ...], raw: Any, at: str) -> Any:
    if raw is None:
        return None
    return _read(next(a for a in arguments if a is not types.NoneType), raw, at)


def _read_scalar(kind: Any, raw: Any, at: str) -> str | int | float | bool:
    # To Python a bool is an int; to a reader of counts it is a mistake.
    if kind is float and isinstance(raw, int | float) and not isinstance(raw, bool):
        return _finite(raw, at)
    _require(type(raw) is kind, at, raw, _KINDS[kind])
    return cast("str | int | bool", raw)


def _finite(raw: float, at: str) -> float:
    try:
        value = float(raw)
    except OverflowError:
        value = math.inf
    _require(math.isfinite(value), at, raw, "a finite number")
    return value


_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _require(holds: bool, at: str, raw: Any, expected: str) -> None:
    if not holds:
        shown = ascii(raw)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise DataError(f"report.json: {at} is {shown}; expected {expected}", hint=_HINT)
