"""What a model of another kind does not do is refused by every door, in one sentence."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.pool import ModelPool
from gateway.models.file import Models
from gateway.models.spec import PathSource
from gateway.server.app import create_app, service_of
from gateway.server.settings import Settings
from tests.support.architectures import write

pytestmark = pytest.mark.needs("llama_cpp")

TURNS = [{"role": "user", "content": "hello"}]
WRITING: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"messages": TURNS}),
    ("/v1/completions", {"prompt": "hello"}),
    ("/v1/responses", {"input": "hello"}),
    ("/v1/messages", {"messages": TURNS, "max_tokens": 4}),
    ("/api/chat", {"messages": TURNS, "stream": False}),
    ("/api/generate", {"prompt": "hello", "raw": True, "stream": False}),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("kinds")
    specs = {
        name: LlamaCppSpec(
            name, PathSource(write(name, folder)), chat_template="plain", threads=1, parallel=1
        )
        for name in ("t5", "bert-mean", "bert-rank")
    }
    app = create_app(
        ModelPool(Models(specs, "t5"), max_loaded=3),
        Settings(log_requests=False),
    )
    service_of(app).ready = True
    with TestClient(app, base_url="http://localhost") as made:
        yield made


@pytest.mark.parametrize(("path", "body"), WRITING)
@pytest.mark.parametrize("model", ["t5", "bert-mean"])
def test_writing_is_refused_by_every_door(
    client: TestClient, model: str, path: str, body: dict[str, Any]
) -> None:
    answer = client.post(path, json={"model": model, **body})
    assert answer.status_code == 400
    assert f"model {model} generates no text: it is an encoder" in answer.text


def test_an_encoder_embeds_and_its_vectors_are_cut(client: TestClient) -> None:
    asked = {"model": "bert-mean", "input": ["hello", "a dark mode"]}
    for path in ("/v1/embeddings", "/api/embed"):
        assert client.post(path, json=asked).status_code == 200
    cut = client.post("/v1/embeddings", json={**asked, "dimensions": 8}).json()
    assert [len(each["embedding"]) for each in cut["data"]] == [8, 8]
    assert sum(x * x for x in cut["data"][0]["embedding"]) == pytest.approx(1)
    refused = client.post("/v1/embeddings", json={**asked, "model": "t5"})
    assert refused.status_code == 400
    assert "gives no vectors" in refused.text


def test_a_client_of_ollama_is_told_what_a_model_can_do(client: TestClient) -> None:
    shown = {
        model: client.post("/api/show", json={"model": model}).json()["capabilities"]
        for model in ("t5", "bert-mean")
    }
    assert shown == {"t5": [], "bert-mean": ["embedding"]}


def test_a_reranker_s_own_scores_order_documents_alike_alone_and_together(
    client: TestClient,
) -> None:
    documents = [f"the page crashes when i {'scroll ' * n}" for n in range(1, 6)]

    def scores(some: list[str]) -> list[float]:
        asked = {"model": "bert-rank", "query": "a dark mode", "documents": some}
        found = client.post("/v1/rerank", json=asked)
        assert found.status_code == 200, found.text
        ranked = sorted(found.json()["results"], key=lambda each: int(each["index"]))
        return [each["relevance_score"] for each in ranked]

    together = scores(documents)
    assert len(set(together)) == len(documents)
    assert [score for each in documents for score in scores([each])] == together
    with ThreadPoolExecutor(4) as beside:
        assert list(beside.map(scores, [documents] * 4)) == [together] * 4
    assert scores(documents[::-1]) == together[::-1]
    refused = client.post("/v1/embeddings", json={"model": "bert-rank", "input": "x"})
    assert refused.status_code == 400
    assert "gives no vectors: it is a reranker" in refused.text
