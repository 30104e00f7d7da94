"""anthropic: https://github.com/anthropics/anthropic-sdk-python."""

import asyncio

from anthropic import Anthropic, AsyncAnthropic, beta_tool
from pydantic import BaseModel

from tests.clients.examples.served import BASE, KEY, MODEL

EXAMPLES = ("chat", "stream", "aio", "tools", "runner", "count", "structured")
HELLO = [{"role": "user", "content": "Hi"}]
WEATHER = {
    "name": "get_weather",
    "description": "Get the current weather in a given location",
    "input_schema": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "The city and state"}},
        "required": ["location"],
    },
}
client = Anthropic(base_url=BASE, api_key=KEY)


def chat() -> None:
    first = client.messages.create(model=MODEL, max_tokens=1024, messages=HELLO)
    again = client.messages.create(model=MODEL, max_tokens=1024, messages=HELLO)
    assert first.content[0].text == again.content[0].text
    assert first.stop_reason == "end_turn"


def stream() -> None:
    whole = client.messages.create(model=MODEL, max_tokens=1024, messages=HELLO)
    with client.messages.stream(model=MODEL, max_tokens=1024, messages=HELLO) as told:
        text = "".join(told.text_stream)
        final = told.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens


def aio() -> None:
    async def ask() -> str:
        async with AsyncAnthropic(base_url=BASE, api_key=KEY) as made:
            message = await made.messages.create(model=MODEL, max_tokens=16, messages=HELLO)
            return message.content[0].text

    assert asyncio.run(ask())


def tools() -> None:
    turns = [{"role": "user", "content": "What's the weather like in San Francisco?"}]
    first = client.messages.create(
        model=MODEL, max_tokens=1024, tools=[WEATHER], tool_choice={"type": "any"}, messages=turns
    )
    call = first.content[0]
    assert first.stop_reason == "tool_use"
    assert set(call.input) == {"location"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "15 degrees"}
    turns += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    then = client.messages.create(model=MODEL, max_tokens=64, tools=[WEATHER], messages=turns)
    assert then.content[0].type in ("text", "tool_use")


def runner() -> None:
    @beta_tool
    def calculate_sum(a: int, b: int) -> str:
        """Add two numbers.

        Args:
            a: The first number.
            b: The second number.
        """
        return str(a + b)

    messages = list(
        client.beta.messages.tool_runner(
            model=MODEL,
            max_tokens=64,
            tools=[calculate_sum],
            messages=[{"role": "user", "content": "What is 9 + 10?"}],
            max_iterations=3,
        )
    )
    assert messages[-1].content


def count() -> None:
    counted = client.messages.count_tokens(model=MODEL, messages=HELLO)
    done = client.messages.create(model=MODEL, max_tokens=1, messages=HELLO)
    assert counted.input_tokens == done.usage.input_tokens


class ContactInfo(BaseModel):
    name: str
    email: str


def structured() -> None:
    asked = "Extract the contact: John Smith (john@example.com) is interested."
    message = client.messages.parse(
        model=MODEL,
        max_tokens=256,
        messages=[{"role": "user", "content": asked}],
        output_format=ContactInfo,
    )
    assert isinstance(message.parsed_output, ContactInfo)
