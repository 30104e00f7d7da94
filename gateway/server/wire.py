"""What the bodies of all wire formats share.

Strict: no text becomes a number, and what is unknown is refused by its name. But what asks for
nothing is accepted: a field that is null or empty, the documented default of what there is not
here, and bookkeeping of the client's.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from gateway.core.types import MAX_TOKENS_LIMIT
from gateway.core.whole import Whole

MOST_STOPS = 16
MOST_HINT = 4096
MOST_DEPTH = 64
"""Levels of a JSON schema; llguidance reads no more than 128."""

LEAST_LOGPROB = -9999.0
"""Stands for -inf, which JSON lacks; the number that OpenAI uses."""


class Wire(BaseModel):
    """Base of all bodies: a field that is not known is refused by its name, unless it is empty."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_what_asks_for_nothing(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {key: value for key, value in given.items() if not cls._says_nothing(key, value)}

    @classmethod
    def _says_nothing(cls, key: str, value: Any) -> bool:
        """Whether the field is as if it were absent: empty, and either unknown or one that may be
        absent and holds no such value."""
        if not is_empty(value):
            return False
        field = fields_by_key(cls).get(key)
        if field is None or value is None:
            return field is None
        return not (field.is_required() or _holds(cls, key, json.dumps(value)))


@cache
def fields_by_key(wire: type[BaseModel]) -> dict[str, FieldInfo]:
    """A body's fields, by the names that JSON has for them."""
    return {field.alias or name: field for name, field in wire.model_fields.items()}


@cache
def _holds(wire: type[BaseModel], key: str, empty: str) -> bool:
    """Whether the field takes this empty value, written in JSON."""
    try:
        adapter_of(fields_by_key(wire)[key]).validate_json(empty)
    except ValidationError:
        return False
    return True


def adapter_of(field: FieldInfo) -> TypeAdapter[Any]:
    """Reads what a field alone may hold."""
    held: Any = field.annotation
    for mark in field.metadata:
        held = Annotated[held, mark]
    return TypeAdapter(held)


def is_empty(value: Any) -> bool:
    """Whether a field's value asks for nothing, whatever the field: null, "", [] or {}."""
    return value is None or (isinstance(value, str | list | dict) and not value)


@dataclass(frozen=True, slots=True)
class Refusing(BeforeValidator):
    """Marks a field that cannot be honoured, and says why; these values ask for nothing."""

    defaults: tuple[object, ...] = ()
    reason: str = ""


def only_empty(reason: str) -> Refusing:
    """Of a field that cannot be honoured: empty, null and false ask for nothing."""
    return only_default(False, reason=reason)


def only_default(*defaults: object, reason: str) -> Refusing:
    """Of a field that cannot be honoured: it may be empty or have one of these values, which is as
    if it were absent."""

    def check(value: Any) -> None:
        if not is_empty(value) and not any(_same(value, default) for default in defaults):
            raise ValueError(reason)

    return Refusing(check, defaults=defaults, reason=reason)


def _same(value: Any, default: object) -> bool:
    """Whether a JSON value is this one; 1 and 1.0 are one number, and true is none."""
    return value == default and isinstance(value, bool) == isinstance(default, bool)


@dataclass(frozen=True, slots=True)
class Unread:
    """Marks a field that is taken and changes no answer."""


UNREAD = Unread()


def _kind(value: Any) -> str:
    return {list: "list", dict: "dict", int: "int"}.get(type(value), "str")


ByKind = Discriminator(_kind)
"""Parts a union by the JSON type that was sent, so that an error is told of what was meant. Its
members are tagged "str", "int", "list" or "dict"; what is none of these is told as "str"."""


TokenIds = Annotated[list[Annotated[Whole, Field(ge=0, lt=1 << 31)]], Field(min_length=1)]


def _kind_of_prompt(value: Any) -> str:
    if not isinstance(value, list):
        return "str"
    first = type(value[0]) if value else str
    return {list: "lists of ids", int: "ids", float: "ids"}.get(first, "list")


TextsOrIds = Discriminator(_kind_of_prompt)
"""Parts a union of texts, "str" and "list", and of token ids, "ids" and "lists of ids"."""


def text_or_ids(given: str | list[int] | list[str] | list[list[int]]) -> list[str | list[int]]:
    """One entry a text."""
    if isinstance(given, str):
        return [given]
    tokens = [entry for entry in given if isinstance(entry, int)]
    others = [entry for entry in given if not isinstance(entry, int)]
    return [tokens] if tokens else list(others)


class Answered(BaseModel):
    """Base of all answers. What was not set is not sent."""

    model_config = ConfigDict(frozen=True)


def _readable(text: str) -> str:
    if "\0" in text:
        raise ValueError("the text holds a NUL, which tokenizers lose or end at")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ValueError("the text holds a lone surrogate, so it has no UTF-8 form") from exc
    return text


Text = Annotated[str, AfterValidator(_readable)]


MeantModel = Annotated[Text, BeforeValidator(lambda given: "" if given is None else given)]
"""A model's name; empty: the one that the server was started with, as `Service.meant` finds it."""


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what later steps, which recurse or are not Python, could not read."""
    level: list[Any] = [value]
    for _ in range(MOST_DEPTH):
        inner: list[Any] = []
        for entry in level:
            if isinstance(entry, str):
                _readable(entry)
            elif isinstance(entry, dict):
                inner += [*entry, *entry.values()]
            elif isinstance(entry, list):
                inner += entry
        if not inner:
            return value
        level = inner
    raise ValueError(f"nested deeper than {MOST_DEPTH} levels")


JsonObject = Annotated[dict[str, Any], AfterValidator(_bounded)]
"""A JSON object of bounded depth, such as a schema."""


Ignored = Annotated[JsonObject | list[Any] | str | float | bool | None, UNREAD]
"""The same, of any shape."""


class FunctionDefinition(Wire):
    """A function that may be called."""

    name: Text
    description: Text | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None
    """Arguments are held to the schema wherever a call is enforced; true asks for that."""
    _order: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _in_order(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(given)
        made._order = tuple(given) if isinstance(given, dict) else ()
        return made

    @property
    def as_written(self) -> dict[str, Any]:
        """What a chat template is shown: the fields that were sent, in their order."""
        fields = ("name", "description", "parameters", "strict")
        told = [key for key in self._order or fields if key in fields]
        return {key: value for key in told if (value := getattr(self, key)) is not None}


Hint = Annotated[Annotated[str, Field(max_length=MOST_HINT)] | None, UNREAD]
"""Bookkeeping of the client's or of its provider's: it changes no answer."""


EffortAsked = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""How much a model thinks, as OpenAI's clients say it."""


def effort_of(asked: EffortAsked | None) -> str:
    """`GenerationRequest.reasoning`."""
    return "off" if asked == "none" else asked or ""


Budget = Annotated[Whole, Field(ge=-1)]
"""Most tokens of a thought: 0 none, -1 as many as the answer may have."""


@dataclass(frozen=True, slots=True)
class ThinkingAsked:
    """What a body asks of a thought."""

    effort: str = ""
    """`GenerationRequest.reasoning`."""
    budget: int | None = None
    """`GenerationRequest.thinking_budget`."""


def thinking_asked(effort: str, budgets: Iterable[int | None] = ()) -> ThinkingAsked:
    """Of how much is to be thought, and of the budgets that a body may have for it.

    Raises:
        ValueError: two of them differ.
    """
    said = {budget for budget in budgets if budget is not None}
    if len(said) > 1:
        raise ValueError("two budgets of the thought differ")
    budget = said.pop() if said else NO_BUDGET
    if effort == "off" or budget == 0:
        return ThinkingAsked("off")
    return ThinkingAsked(effort, None if budget == NO_BUDGET else min(budget, MAX_TOKENS_LIMIT))


NO_BUDGET = -1


def finite(logprob: float) -> float:
    """A log-probability as a number that JSON has."""
    return max(logprob, LEAST_LOGPROB)
