"""pydantic-ai: https://ai.pydantic.dev."""

import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, RunContext
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.examples.served import KEY, MODEL, OPENAI

EXAMPLES = ("hello", "stream", "structured", "native", "dice_game")
HELLO = "Say this is a test"
provider = OpenAIProvider(base_url=OPENAI, api_key=KEY)
by_chat = OpenAIChatModel(MODEL, provider=provider)
by_responses = OpenAIResponsesModel(MODEL, provider=provider)
MODELS = (by_chat, by_responses)


class CityLocation(BaseModel):
    city: str
    country: str


def hello() -> None:
    agents = [Agent(model, instructions="Be concise.") for model in MODELS]
    first, again = (agent.run_sync(HELLO).output for agent in agents)
    assert first
    assert first == again


def stream() -> None:
    async def ask() -> str:
        async with agent.run_stream(HELLO) as told:
            return "".join([piece async for piece in told.stream_text(delta=True)])

    agent = Agent(by_chat, instructions="Be concise.")
    assert asyncio.run(ask()) == agent.run_sync(HELLO).output


def structured() -> None:
    for model in MODELS:
        found = Agent(model, output_type=CityLocation).run_sync("Where were the olympics held?")
        assert isinstance(found.output, CityLocation)
        assert found.usage.input_tokens


def native() -> None:
    for model in MODELS:
        agent = Agent(model, output_type=NativeOutput(CityLocation))
        assert isinstance(agent.run_sync("Where were the olympics held?").output, CityLocation)


def dice_game() -> None:
    for model in MODELS:
        found = _dice_agent(model).run_sync("My guess is 4", deps="Anne")
        assert found.output


def _dice_agent(model: Model) -> Agent[str, str]:
    agent = Agent(model, deps_type=str, instructions="You're a dice game.")

    @agent.tool_plain
    def roll_dice() -> str:
        """Roll a six-sided die and return the result."""
        return "4"

    @agent.tool
    def get_player_name(ctx: RunContext[str]) -> str:
        """Get the player's name."""
        return ctx.deps

    return agent
