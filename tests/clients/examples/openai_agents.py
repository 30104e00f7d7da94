"""openai-agents: https://openai.github.io/openai-agents-python."""

import asyncio

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_default_openai_client,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.clients.examples.served import KEY, MODEL, OPENAI

EXAMPLES = ("haiku", "by_chat", "stream", "structured", "tools")
client = AsyncOpenAI(base_url=OPENAI, api_key=KEY)
# Its default is the Responses API; traces go to OpenAI.
set_default_openai_client(client, use_for_tracing=False)
set_tracing_disabled(True)
HAIKU = "Write a haiku about recursion in programming."


class City(BaseModel):
    name: str
    country: str


@function_tool
def get_weather(city: str) -> str:
    """returns weather info for the specified city."""
    return f"The weather in {city} is sunny"


def haiku() -> None:
    agent = Agent(name="Assistant", instructions="You are a helpful assistant", model=MODEL)
    first, again = (Runner.run_sync(agent, HAIKU).final_output for _ in range(2))
    assert first
    assert first == again


def by_chat() -> None:
    model = OpenAIChatCompletionsModel(model=MODEL, openai_client=client)
    agent = Agent(name="Assistant", instructions="You only respond in haikus.", model=model)
    assert Runner.run_sync(agent, HAIKU).final_output


def stream() -> None:
    async def ask() -> tuple[str, str]:
        # A connection belongs to the event loop that opened it.
        own = AsyncOpenAI(base_url=OPENAI, api_key=KEY)
        model = OpenAIResponsesModel(model=MODEL, openai_client=own)
        agent = Agent(name="Joker", instructions="You are a helpful assistant.", model=model)
        result = Runner.run_streamed(agent, input="Say this is a test")
        deltas = [
            event.data.delta
            async for event in result.stream_events()
            if event.type == "raw_response_event"
            and event.data.type == "response.output_text.delta"
        ]
        return "".join(deltas), result.final_output

    told, final = asyncio.run(ask())
    assert told == final


def structured() -> None:
    agent = Agent(name="Cities", instructions="Extract the city", model=MODEL, output_type=City)
    assert isinstance(Runner.run_sync(agent, "I live in Paris, France.").final_output, City)


def tools() -> None:
    agent = Agent(
        name="Hello world",
        instructions="You are a helpful agent.",
        tools=[get_weather],
        model=MODEL,
    )
    assert Runner.run_sync(agent, input="What's the weather in Tokyo?").final_output
