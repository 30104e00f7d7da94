"""litellm: https://docs.litellm.ai, by the three APIs that it knows us by."""

import json

import litellm
from pydantic import BaseModel

from tests.clients.examples.served import BASE, KEY, MODEL, OPENAI

EXAMPLES = ("chat", "stream", "structured", "tools", "responses", "embeddings")
HELLO = [{"content": "Hi", "role": "user"}]
BY_OPENAI = {"model": f"openai/{MODEL}", "api_base": OPENAI, "api_key": KEY}
BY_OLLAMA = {"model": f"ollama_chat/{MODEL}", "api_base": BASE}
BY_ANTHROPIC = {"model": f"anthropic/{MODEL}", "api_base": BASE, "api_key": KEY}
WAYS = (BY_OPENAI, BY_OLLAMA, BY_ANTHROPIC)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "The city and state"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["location"],
        },
    },
}


class Answer(BaseModel):
    name: str
    date: str


def chat() -> None:
    said = {litellm.completion(**way, messages=HELLO).choices[0].message.content for way in WAYS}
    assert len(said) == 1
    assert said.pop()


def stream() -> None:
    whole = litellm.completion(**BY_OPENAI, messages=HELLO).choices[0].message.content
    for way in WAYS:
        chunks = litellm.completion(**way, messages=HELLO, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole


def structured() -> None:
    asked = "Alice and Bob are going to a science fair on Friday."
    for way in (BY_OPENAI, BY_OLLAMA):
        done = litellm.completion(
            **way, messages=[{"role": "user", "content": asked}], response_format=Answer
        )
        assert Answer.model_validate_json(done.choices[0].message.content).name


def tools() -> None:
    for way, choice in ((BY_OPENAI, "auto"), (BY_OPENAI, "required"), (BY_ANTHROPIC, "required")):
        turns = [{"role": "user", "content": "What's the weather like in San Francisco?"}]
        first = litellm.completion(
            **way, messages=turns, tools=[WEATHER], tool_choice=choice, max_tokens=80
        )
        said = first.choices[0].message
        assert said.tool_calls or choice == "auto"
        turns.append(said)
        for call in said.tool_calls or ():
            assert "location" in json.loads(call.function.arguments)
            turns.append(
                {
                    "tool_call_id": call.id,
                    "role": "tool",
                    "name": call.function.name,
                    "content": json.dumps({"temperature": "10"}),
                }
            )
        then = litellm.completion(**way, messages=turns, tools=[WEATHER], max_tokens=40)
        assert then.choices[0].finish_reason


def responses() -> None:
    asked = {"input": "Tell me a story about a unicorn.", "max_output_tokens": 40}
    done = litellm.responses(**BY_OPENAI, **asked)
    assert done.output_text


def embeddings() -> None:
    for way in (BY_OPENAI, {**BY_OLLAMA, "model": f"ollama/{MODEL}"}):
        found = litellm.embedding(**way, input=["good morning from litellm"])
        assert len(found.data[0]["embedding"]) > 64
