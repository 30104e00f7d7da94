"""langchain-openai and langchain-ollama: https://docs.langchain.com/oss/python/integrations."""

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

from tests.clients.examples.served import BASE, KEY, MODEL, OPENAI

EXAMPLES = ("chat", "stream", "structured", "tools", "agent", "embeddings")
ASKED = [("system", "Be concise."), ("human", "Say this is a test")]
by_openai = ChatOpenAI(model=MODEL, base_url=OPENAI, api_key=KEY)
by_ollama = ChatOllama(model=MODEL, base_url=BASE)
MODELS = (by_openai, by_ollama)


class Movie(BaseModel):
    """A movie with details."""

    title: str = Field(description="The title of the movie")
    director: str = Field(description="The director of the movie")


class GetWeather(BaseModel):
    """Get the current weather in a given location"""

    location: str = Field(description="The city and state, e.g. San Francisco, CA")


@tool
def get_weather(city: str) -> str:
    """Get weather for a given city."""
    return f"It's always sunny in {city}!"


def chat() -> None:
    first, again = (model.invoke(ASKED).content for model in MODELS)
    assert first
    assert first == again


def stream() -> None:
    for model in MODELS:
        told = "".join(chunk.content for chunk in model.stream(ASKED))
        assert told == model.invoke(ASKED).content


def structured() -> None:

    for method in ("json_schema", "function_calling"):
        parsed = by_openai.with_structured_output(Movie, method=method).invoke(
            "Provide details about the movie Inception"
        )
        assert isinstance(parsed, Movie)
    parsed = by_ollama.with_structured_output(Movie).invoke("Details about the movie Inception")
    assert isinstance(parsed, Movie)


def tools() -> None:
    for model in MODELS:
        said = model.bind_tools([GetWeather]).invoke("what is the weather like in San Francisco")
        assert said.content or said.tool_calls
    must = by_openai.bind_tools([GetWeather], tool_choice="any").invoke("the weather in Paris?")
    assert set(must.tool_calls[0]["args"]) == {"location"}


def agent() -> None:
    for model in MODELS:
        made = create_agent(
            model=model, tools=[get_weather], system_prompt="You are a helpful assistant"
        )
        asked = {"messages": [{"role": "user", "content": "What is the weather in sf"}]}
        found = made.invoke(asked, {"recursion_limit": 6})
        assert found["messages"][-1].type == "ai"


def embeddings() -> None:
    texts = ["LangChain is the framework for building apps", "LangGraph is a library"]
    # Its OpenAI class sends the ids of OpenAI's own tokens, unless it is told to send text.
    sent = OpenAIEmbeddings(
        model=MODEL, base_url=OPENAI, api_key=KEY, check_embedding_ctx_length=False
    )
    for made in (sent, OllamaEmbeddings(model=MODEL, base_url=BASE)):
        both = made.embed_documents(texts)
        assert both == [made.embed_query(text) for text in texts]
