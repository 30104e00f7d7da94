"""instructor: https://python.useinstructor.com."""

import instructor
from openai import OpenAI
from pydantic import BaseModel

from tests.clients.examples.served import KEY, MODEL, OPENAI

EXAMPLES = ("tools", "json", "json_schema", "provider", "partial")
JOHN = [{"role": "user", "content": "John is 25 years old"}]


class User(BaseModel):
    name: str
    age: int


def _extracted(mode: instructor.Mode) -> User:
    client = instructor.from_openai(OpenAI(base_url=OPENAI, api_key=KEY), mode=mode)
    return client.chat.completions.create(model=MODEL, response_model=User, messages=JOHN)


def tools() -> None:
    assert isinstance(_extracted(instructor.Mode.TOOLS), User)


def json() -> None:
    assert isinstance(_extracted(instructor.Mode.JSON), User)


def json_schema() -> None:
    assert isinstance(_extracted(instructor.Mode.JSON_SCHEMA), User)


def provider() -> None:
    client = instructor.from_provider(f"openai/{MODEL}", base_url=OPENAI, api_key=KEY)
    assert isinstance(client.create(response_model=User, messages=JOHN), User)


def partial() -> None:
    client = instructor.from_openai(OpenAI(base_url=OPENAI, api_key=KEY))
    grown = list(client.create_partial(model=MODEL, response_model=User, messages=JOHN))
    assert User.model_validate(grown[-1].model_dump()).name
