"""What pydantic and zod write by default is enforced, and none of it lets through more."""

import json
import re
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic as p
import pytest

from gateway.core.errors import InvalidRequest
from gateway.core.types import Constraint
from gateway.engine.constraints import grammar_of
from gateway.server.generated_schemas import LOOKING_AHEAD, PATTERNS, readable
from gateway.server.schemas import closed_text

pytestmark = pytest.mark.needs("llguidance")

EMAIL, DURATION, HOST, EMOJI = LOOKING_AHEAD


class Colour(Enum):
    RED = "red"


class Cat(p.BaseModel):
    kind: Literal["cat"]
    born: date | None = None


class Dog(p.BaseModel):
    kind: Literal["dog"]
    puppies: list["Dog"] = []


TYPES: list[Any] = [
    *(datetime, date, time, timedelta, Decimal, uuid.UUID, Path, bytes, Colour, None, Any),
    *(p.SecretStr, p.AnyUrl, p.PostgresDsn, p.IPvAnyAddress, p.IPvAnyNetwork, p.UUID4, p.FilePath),
    *(IPv4Network, IPv6Network, IPv4Interface, IPv6Interface, p.Base64Bytes, p.Base64UrlStr),
    *(p.AwareDatetime, p.PositiveInt, p.FiniteFloat, p.Json, p.JsonValue, p.ByteSize),
    *(tuple[int, str], tuple[int, ...], dict[str, int], dict[int, str], dict[str, Any]),
    *(dict[Colour, int], dict[Literal["a", "b"], int], dict[uuid.UUID, int], dict[date, int]),
    dict[Annotated[str, p.Field(min_length=2)], int],
    Annotated[str, p.Field(min_length=1, max_length=5, pattern=r"^\d+$")],
    Annotated[int, p.Field(gt=1, le=10, multiple_of=2)],
    Annotated[Cat | Dog, p.Field(discriminator="kind")],
    list[Cat] | Dog | Literal["none", 1] | None,
]
ZOD: dict[str, dict[str, Any]] = {
    "email of 4.0": {"type": "string", "format": "email", "pattern": EMAIL},
    "duration": {"type": "string", "format": "duration", "pattern": DURATION},
    "hostname": {"type": "string", "format": "hostname", "pattern": HOST},
    "emoji": {"type": "string", "format": "emoji", "pattern": EMOJI},
    "nanoid": {"type": "string", "format": "nanoid", "pattern": "^[a-zA-Z0-9_-]{21}$"},
    "starts and ends": {
        "type": "string",
        "format": "ends_with",
        "allOf": [{"pattern": "^a.*"}, {"pattern": ".*b$"}],
    },
    "jwt": {"type": "string", "format": "jwt"},
    "int": {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991},
    "float64": {
        "type": "number",
        "minimum": -1.7976931348623157e308,
        "maximum": 1.7976931348623157e308,
    },
    "record": {
        "type": "object",
        "propertyNames": {"type": "string"},
        "additionalProperties": {"type": "number"},
    },
    "no set": {"type": "array", "items": {"type": "string"}, "uniqueItems": False},
}


def enforced(schema: dict[str, Any]) -> str:
    return grammar_of(Constraint("json_schema", closed_text(schema)))


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_what_pydantic_writes_by_default_is_enforced(kind: Any) -> None:
    assert enforced(p.create_model("Made", value=(kind, ...)).model_json_schema())


@pytest.mark.parametrize("name", ZOD)
def test_what_zod_writes_by_default_is_enforced(name: str) -> None:
    made = {"type": "object", "properties": {"value": ZOD[name]}, "required": ["value"]}
    assert enforced({"$schema": "https://json-schema.org/draft/2020-12/schema", **made})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
        {"type": "string", "pattern": "^(?!admin).*$"},
        {"type": "string", "format": "email", "pattern": "^(?!admin).*$"},
        {"type": "string", "format": "wizardry"},
        {"type": "object", "propertyNames": {"format": "wizardry"}},
        {"type": "object", "propertyNames": {"pattern": "^a", "minLength": 3}},
        {"type": "object", "propertyNames": {"enum": 5}},
        {"type": "object", "propertyNames": {"format": ["email"]}},
        {"type": "object", "propertyNames": {"minLength": "2"}},
        {"type": "object", "propertyNames": {"$ref": "#/$defs/Nowhere"}},
    ],
)
def test_what_cannot_be_enforced_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        enforced({"type": "object", "properties": {"value": schema}})


def test_names_and_values_of_a_schema_are_not_taken_for_schemas() -> None:
    plain = {
        "type": "object",
        "properties": {"format": {"const": {"type": "string", "format": "path"}}},
        "required": ["format"],
        "additionalProperties": False,
    }
    assert readable(plain) == plain


TEXTS = {
    EMAIL: (
        "a@b.cd",
        "a.b@c.de",
        "a..b@c.de",
        ".a@b.cd",
        "a.@b.cd",
        "a'@b.cd",
        "a'b@c-.de",
        "@b.c",
    ),
    DURATION: ("P", "PT", "P1D", "P1W", "P1W1D", "PT1H", "P1YT", "P1Y2M3DT4H5M6.7S", "PT1S", "P1M"),
    HOST: ("a", "a.b", "-a", "a-", "a..b", "a-b.c", "x" * 63, "x" * 64, ".".join(["x" * 63] * 4)),
}


@pytest.mark.parametrize(("pattern", "text"), [(k, t) for k, texts in TEXTS.items() for t in texts])
def test_a_pattern_without_looking_ahead_lets_through_no_more(pattern: str, text: str) -> None:
    allowed = re.search(pattern, text)
    taken = re.search(LOOKING_AHEAD[pattern], text)
    assert bool(taken) == bool(allowed) or (pattern == HOST and not taken)


@pytest.mark.parametrize(
    ("form", "kind", "right", "wrong"),
    [
        ("ipv4network", IPv4Network, ("10.0.0.0/8", "1.2.3.0/24", "1.2.3.4/32"), "1.2.3.4/8"),
        ("ipv6network", IPv6Network, ("a:b:c::/48", "1:2:3:4::/64"), "1:2:3::/200"),
        ("ipv4interface", IPv4Interface, ("1.2.3.4/8", "0.0.0.0/0"), "256.0.0.0/8"),
        ("ipvanyaddress", p.IPvAnyAddress, ("1.2.3.4", "1:2:3:4:5:6:7:8"), "1.2.3"),
        ("base64", p.Base64Bytes, ("", "YQ==", "YWI=", "YWJj"), "YQ="),
        ("uuid4", p.UUID4, (str(uuid.UUID(int=7, version=4)),), str(uuid.UUID(int=7, version=1))),
    ],
)
def test_pydantic_reads_what_a_format_of_its_own_lets_through(
    form: str, kind: Any, right: tuple[str, ...], wrong: str
) -> None:
    adapter = p.TypeAdapter(kind)
    for text in right:
        assert re.search(PATTERNS[form], text)
        adapter.validate_json(json.dumps(text))
    assert not re.search(PATTERNS[form], wrong)
