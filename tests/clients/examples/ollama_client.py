"""ollama: https://github.com/ollama/ollama-python."""

import asyncio

from ollama import AsyncClient, Client
from pydantic import BaseModel

from tests.clients.examples.served import BASE, MODEL

EXAMPLES = ("chat", "stream", "aio", "generate", "structured", "tools", "embeddings", "show")
HI = [{"role": "user", "content": "Hi"}]
client = Client(host=BASE)


class Country(BaseModel):
    name: str
    capital: str


def chat() -> None:
    first, again = (client.chat(model=MODEL, messages=HI) for _ in range(2))
    assert first.message.content
    assert first["message"]["content"] == again.message.content
    assert first.done_reason == "stop"


def stream() -> None:
    pieces = list(client.chat(model=MODEL, messages=HI, stream=True))
    whole = client.chat(model=MODEL, messages=HI)
    assert "".join(piece["message"]["content"] for piece in pieces) == whole.message.content
    assert pieces[-1].done
    assert pieces[-1].eval_count == whole.eval_count


def aio() -> None:
    async def ask() -> str:
        message = {"role": "user", "content": "Hi"}
        pieces = await AsyncClient(host=BASE).chat(model=MODEL, messages=[message], stream=True)
        return "".join([piece["message"]["content"] async for piece in pieces])

    assert asyncio.run(ask()) == client.chat(model=MODEL, messages=HI).message.content


def generate() -> None:
    done = client.generate(model=MODEL, prompt="Hi")
    assert done.response == client.chat(model=MODEL, messages=HI).message.content


def structured() -> None:
    done = client.chat(
        model=MODEL,
        messages=[{"role": "user", "content": "Tell me about Canada."}],
        format=Country.model_json_schema(),
    )
    assert Country.model_validate_json(done.message.content or "").name


def add_two_numbers(a: int, b: int) -> int:
    """
    Add two numbers

    Args:
      a (int): The first number
      b (int): The second number

    Returns:
      int: The sum of the two numbers
    """
    return int(a) + int(b)


def tools() -> None:
    turns = [{"role": "user", "content": "What is three plus one?"}]
    first = client.chat(MODEL, messages=turns, tools=[add_two_numbers])
    turns.append(first.message)  # type: ignore[arg-type]
    for call in first.message.tool_calls or ():
        given = str(add_two_numbers(**call.function.arguments))
        turns.append({"role": "tool", "content": given, "tool_name": call.function.name})
    then = client.chat(MODEL, messages=turns)
    assert then.done


def embeddings() -> None:
    texts = ["The sky is blue because of rayleigh scattering", "Grass is green"]
    both = client.embed(model=MODEL, input=texts).embeddings
    alone = [client.embed(model=MODEL, input=text).embeddings[0] for text in texts]
    assert list(both) == alone


def show() -> None:
    assert any(model.model == f"{MODEL}:latest" for model in client.list().models)
    assert "completion" in (client.show(MODEL).capabilities or ())
