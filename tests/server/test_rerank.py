"""Documents are ordered by what a model says of each alone; a model that ranks is asked instead."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from gateway.backends.fake import FakeBackend
from gateway.backends.pool import Loader, ModelPool
from gateway.backends.registry import load_backend
from gateway.core.types import Ranking
from gateway.models.abilities import Abilities
from gateway.models.spec import ModelSpec
from gateway.server.app import create_app
from gateway.server.extensions.rerank import LABELS, PATHS, PROMPT
from gateway.server.settings import Settings
from tests.server.conftest import CHAT, fake_models

QUERY = "What do bees eat?"
DOCUMENTS = ["Bees eat nectar {and} pollen.", "Trains run on rails.", "Honey keeps for years."]
ASKED: dict[str, Any] = {"query": QUERY, "documents": DOCUMENTS}


def serving_fake(loader: Loader = load_backend) -> TestClient:
    pool = ModelPool(fake_models(), loader=loader)
    return TestClient(create_app(pool, Settings(log_requests=False)), base_url="http://localhost")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serving_fake() as made:
        yield made


def ranked(client: Any, path: str = PATHS[0], **more: Any) -> Any:
    found = client.post(path, json={"model": "fake", **ASKED, **more})
    assert found.status_code == 200, found.text
    return found.json()


@pytest.mark.parametrize("path", PATHS)
def test_results_come_in_order_with_scores_and_usage(client: TestClient, path: str) -> None:
    found = ranked(client, path)
    scores = [result["relevance_score"] for result in found["results"]]
    assert scores == sorted(scores, reverse=True)
    assert {result["index"] for result in found["results"]} == {0, 1, 2}
    assert all(0 <= score <= 1 and "document" not in found["results"][0] for score in scores)
    assert found["usage"]["prompt_tokens"] == found["usage"]["total_tokens"] > 0


def test_a_score_is_the_share_of_yes_after_the_documented_prompt(client: TestClient) -> None:
    scores = {result["index"]: result["relevance_score"] for result in ranked(client)["results"]}
    for number, document in enumerate(DOCUMENTS):
        text = PROMPT.format(query=QUERY, document=document)
        asked = {"messages": [{"role": "user", "content": text}], "labels": list(LABELS)}
        told = client.post("/v1/score", json={"model": "fake", **asked}).json()["scores"]
        yes, no = (math.exp(entry["logprob"]) for entry in told)
        assert scores[number] == pytest.approx(yes / (yes + no), rel=1e-9)


def test_the_best_are_told_with_their_texts_where_that_is_asked(client: TestClient) -> None:
    whole = ranked(client)["results"]
    found = ranked(client, top_n=2, return_documents=True)["results"]
    assert [result["index"] for result in found] == [result["index"] for result in whole[:2]]
    assert all(r["document"] == {"text": DOCUMENTS[r["index"]]} for r in found)
    assert ranked(client, top_n=99)["results"] == whole
    objects = [{"text": document} for document in DOCUMENTS]
    assert ranked(client, documents=objects)["results"] == whole


def test_texts_are_answered_with_a_plain_list(client: TestClient) -> None:
    whole = ranked(client)["results"]
    body = {"model": "fake", "query": QUERY, "texts": DOCUMENTS, "return_text": True}
    found = client.post("/rerank", json=body).json()
    assert [(r["index"], r["score"]) for r in found] == [
        (r["index"], r["relevance_score"]) for r in whole
    ]
    assert found[0]["text"] == DOCUMENTS[found[0]["index"]]


def test_equal_documents_stay_in_their_order(client: TestClient) -> None:
    found = ranked(client, documents=["same"] * 4)["results"]
    assert [result["index"] for result in found] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"documents": []}, "documents"),
        ({"documents": None}, "documents"),
        ({"documents": 123}, "documents"),
        ({"documents": [1, 2]}, "documents[0]"),
        ({"documents": [{"title": "x"}]}, "documents[0].text"),
        ({"query": ""}, "query"),
        ({"top_n": 0}, "top_n"),
        ({"texts": ["a"]}, "documents"),
        ({"documents": ["word " * 3000]}, "documents[0]"),
        ({"return_embeddings": True}, "return_embeddings"),
    ],
)
def test_what_cannot_be_ranked_is_refused_by_its_name(
    client: TestClient, more: dict[str, Any], said: str
) -> None:
    found = client.post("/v1/rerank", json={"model": "fake", **ASKED, **more})
    assert found.status_code == 400, found.text
    error = found.json()["error"]
    assert said in f"{error['param']} {error['message']}"


class Ranker(FakeBackend):
    """Ranks by length."""

    abilities = Abilities("bert", pooling="rank")

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranking:
        return Ranking(tuple(float(len(d)) for d in documents), len(query), self.fingerprint)


def test_a_model_that_ranks_is_asked_itself() -> None:
    def load(spec: ModelSpec, path: Path) -> Ranker:
        return Ranker(spec, path)

    with serving_fake(load) as client:
        found = ranked(client)
    assert [result["index"] for result in found["results"]] == [0, 2, 1]
    assert found["results"][0]["relevance_score"] == len(DOCUMENTS[0])
    assert found["usage"]["prompt_tokens"] == len(QUERY)


@pytest.mark.needs("llama_cpp")
def test_a_score_does_not_depend_on_the_other_documents_nor_on_other_requests(url: str) -> None:
    def asked(documents: list[str]) -> dict[str, float]:
        body = {"model": CHAT, "query": QUERY, "documents": documents}
        found = httpx.post(f"{url}/v1/rerank", json=body, timeout=60).json()["results"]
        return {documents[result["index"]]: result["relevance_score"] for result in found}

    alone = {document: asked([document])[document] for document in DOCUMENTS}
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(asked, [DOCUMENTS, DOCUMENTS[::-1], DOCUMENTS * 2, DOCUMENTS]))
    assert all(found == alone for found in together)
