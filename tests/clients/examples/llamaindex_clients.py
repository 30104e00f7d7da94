"""llama-index-llms-openai-like and -ollama: https://developers.llamaindex.ai/python."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import LLM, ChatMessage
from llama_index.embeddings.ollama import OllamaEmbedding
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from tests.clients.examples.served import BASE, KEY, MODEL, OPENAI

EXAMPLES = ("complete", "chat", "stream", "structured", "agent", "embeddings")
ASKED = [
    ChatMessage(role="system", content="Be concise."),
    ChatMessage(role="user", content="Say this is a test"),
]
by_openai = OpenAILike(
    model=MODEL,
    api_base=OPENAI,
    api_key=KEY,
    is_chat_model=True,
    is_function_calling_model=True,
)
by_ollama = Ollama(model=MODEL, base_url=BASE, request_timeout=120.0)
MODELS = (by_openai, by_ollama)


class Restaurant(BaseModel):
    """A restaurant."""

    name: str
    city: str


def multiply(a: float, b: float) -> float:
    """Useful for multiplying two numbers."""
    return a * b


def complete() -> None:
    # One of the two sends a temperature of 0.1 by default.
    for model in MODELS:
        first, again = (str(model.complete("Hi")) for _ in range(2))
        assert first
        assert first == again


def chat() -> None:
    for model in MODELS:
        assert model.chat(ASKED).message.content


def stream() -> None:
    for model in MODELS:
        told = "".join(piece.delta or "" for piece in model.stream_chat(ASKED))
        assert told == model.chat(ASKED).message.content


def structured() -> None:
    for model in MODELS:
        made = model.as_structured_llm(Restaurant)
        found = made.chat([ChatMessage(role="user", content="A restaurant in Miami")])
        assert isinstance(found.raw, Restaurant)


def agent() -> None:
    async def ask(model: LLM) -> str:
        made = FunctionAgent(
            tools=[multiply], llm=model, system_prompt="You are a helpful assistant"
        )
        return str(await made.run("What is 1234 * 4567?", max_iterations=4))

    for model in MODELS:
        assert asyncio.run(ask(model))


def embeddings() -> None:
    texts = ["This is a passage!", "This is another passage"]
    sent = OpenAILikeEmbedding(model_name=MODEL, api_base=OPENAI, api_key=KEY)
    for made in (sent, OllamaEmbedding(model_name=MODEL, base_url=BASE)):
        both = made.get_text_embedding_batch(texts)
        assert both == [made.get_text_embedding(text) for text in texts]
