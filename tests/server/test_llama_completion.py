"""POST /completion answers as llama.cpp's server does, with the bytes of /v1/completions."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.conftest import CHAT
from tests.support.llama_server import GENERATION_SETTINGS

pytestmark = pytest.mark.needs("llama_cpp")
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def asked(http: httpx.Client, **body: Any) -> Any:
    answer = http.post("/completion", json={"model": CHAT, "prompt": PROMPT, **body})
    assert answer.status_code == 200, answer.text
    if not body.get("stream"):
        return answer.json()
    return [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: ")]


@pytest.fixture(scope="module")
def openai_s(http: httpx.Client) -> Any:
    body = {"model": CHAT, "prompt": PROMPT, "max_tokens": 6, "logprobs": 2}
    return http.post("/v1/completions", json=body).json()


def test_the_text_is_that_of_openai_s_route(http: httpx.Client, openai_s: Any) -> None:
    found = asked(http, n_predict=6, return_tokens=True)
    assert found["content"] == openai_s["choices"][0]["text"]
    assert (found["stop"], found["stop_type"], found["truncated"]) == (True, "limit", False)
    assert found["tokens_evaluated"] == openai_s["usage"]["prompt_tokens"]
    assert found["tokens_predicted"] == len(found["tokens"]) == 6
    assert found["timings"]["predicted_n"] == 6
    assert found["generation_settings"]["n_predict"] == 6
    assert "completion_probabilities" not in found


def test_a_stream_tells_the_same_in_pieces(http: httpx.Client, openai_s: Any) -> None:
    whole = asked(http, n_predict=6, n_probs=2, return_tokens=True)
    *pieces, last = asked(http, n_predict=6, n_probs=2, stream=True)
    assert "".join(p["content"] for p in [*pieces, last]) == whole["content"]
    assert [i for p in [*pieces, last] for i in p["tokens"]] == whole["tokens"]
    told = [each for p in [*pieces, last] for each in p["completion_probabilities"]]
    assert told == whole["completion_probabilities"]
    logprobs = openai_s["choices"][0]["logprobs"]["token_logprobs"]
    assert [each["logprob"] for each in told] == logprobs
    assert [piece["stop"] for piece in pieces] == [False] * len(pieces)
    assert (last["stop"], last["prompt"]) == (True, PROMPT)


def test_a_stop_is_told(http: httpx.Client) -> None:
    whole = asked(http, n_predict=6)["content"]
    found = asked(http, n_predict=6, stop=["never", whole[2:4]])
    assert (found["stop_type"], found["stopping_word"]) == ("word", whole[2:4])
    assert found["content"] == whole[: whole.index(whole[2:4])]


def test_a_bias_is_a_pair_too(http: httpx.Client) -> None:
    first = asked(http, n_predict=1, return_tokens=True)["tokens"][0]
    without = asked(http, n_predict=1, return_tokens=True, logit_bias=[[first, -100]] * 2)
    assert without["tokens"] != [first]
    assert without["content"] == asked(http, n_predict=1, logit_bias={str(first): -100})["content"]


def test_an_answer_that_the_context_ends_is_truncated(http: httpx.Client) -> None:
    context = http.get("/props", params={"model": CHAT}).json()
    room = 3
    length = context["default_generation_settings"]["n_ctx"] - room
    prompt = asked(http, n_predict=1, return_tokens=True)["tokens"] * length
    for most, made, truncated in [(2, 2, False), (room, room, False), (9, room, True)]:
        found = asked(http, prompt=prompt, n_predict=most)
        assert (found["tokens_predicted"], found["stop_type"]) == (made, "limit")
        assert found["truncated"] is truncated


def test_what_it_was_made_with_is_told(http: httpx.Client) -> None:
    found = asked(http, n_predict=1, repetition_penalty=1.5, logit_bias=[[5, -1.0]])
    settings = found["generation_settings"]
    assert settings["repeat_penalty"] == 1.5
    assert settings["logit_bias"] == [{"token": 5, "bias": -1.0}]
    assert asked(http, n_predict=1)["generation_settings"]["logit_bias"] == []


def test_the_rate_is_that_of_the_passes_behind_the_prompt(http: httpx.Client) -> None:
    alone = asked(http, n_predict=1)["timings"]
    assert (alone["predicted_n"], alone["predicted_per_second"]) == (1, 0.0)
    assert alone["predicted_per_token_ms"] == 0.0
    six = asked(http, n_predict=6)["timings"]
    assert six["predicted_per_second"] == pytest.approx(5 * 1000 / six["predicted_ms"])


def test_several_prompts_are_a_list(http: httpx.Client) -> None:
    found = asked(http, prompt=[PROMPT, "Hi"], n_predict=2)
    assert [each["index"] for each in found] == [0, 1]
    assert found[0]["content"] == asked(http, n_predict=2)["content"]


def test_a_schema_is_enforced(http: httpx.Client) -> None:
    found = asked(http, n_predict=20, json_schema={"enum": ["yes", "no"]})
    assert json.loads(found["content"]) in ("yes", "no")
    assert found["stop_type"] == "eos"


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"grammar": 'root ::= "a"'}, "grammar"),
        ({"post_sampling_probs": True, "n_probs": 1}, "post_sampling_probs"),
        ({"n_predict": 0}, "n_predict"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x " * 4000}, "prompt"),
        ({"n": 2}, "n"),
        ({"logit_bias": [[5, 1.0], [5, -1.0]]}, "logit_bias"),
        ({"logit_bias": [["word", -1.0]]}, "logit_bias"),
        ({"logit_bias": [[5, False]]}, "logit_bias"),
        ({"json_schema": {"type": "nothing"}}, "json_schema"),
        ({"n_cmpl": 2}, "n_cmpl"),
        ({"samplers": ["temperature", "top_k"]}, "samplers"),
        ({"adaptive_target": 0.5}, "adaptive_target"),
        ({"lora": [{"id": 0, "scale": 1.0}]}, "lora"),
        ({"max_tokens": 5}, "max_tokens"),
    ],
)
def test_what_is_not_done_is_refused_by_name(
    http: httpx.Client, more: dict[str, Any], place: str
) -> None:
    found = http.post("/completion", json={"model": CHAT, "prompt": PROMPT, **more})
    assert (found.status_code, found.json()["error"]["param"]) == (400, place), found.text


def test_the_defaults_of_llama_cpp_s_clients_ask_for_nothing(http: httpx.Client) -> None:
    usual: dict[str, Any] = {
        "seed": -1,
        "repeat_penalty": 1.0,
        "cache_prompt": True,
        "id_slot": -1,
        **GENERATION_SETTINGS,
    }
    usual["n_predict"] = 2
    assert asked(http, **usual)["content"] == asked(http, n_predict=2)["content"]
