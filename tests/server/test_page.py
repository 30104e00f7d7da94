"""The root: a page for browsers, and the greeting that clients of Ollama look for."""

import hashlib
import json
import re
import shlex
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from gateway.backends.pool import ModelPool
from gateway.models.file import Models
from gateway.server.app import create_app
from gateway.server.keys import create_key
from gateway.server.settings import Settings
from tests.server.conftest import fake_models, serving

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
GREETING = "Ollama is running"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False))
    with serving(app) as address:
        yield address


class Elements(HTMLParser):
    """Names and attributes of all elements, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.mark.parametrize(
    "accept", ["*/*", "", "application/json, text/plain, */*", "text/html;q=0", "text/*", "a/b;q=x"]
)
def test_programs_are_greeted_as_by_ollama(url: str, accept: str) -> None:
    answer = httpx.get(url, headers={"accept": accept})
    assert answer.text == GREETING
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "accept" in answer.headers["vary"].lower()


def test_a_browser_gets_a_page_with_models_endpoints_and_a_command(url: str) -> None:
    answer = httpx.get(url, headers=BROWSER)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    said = Elements(answer.text).said
    for text in ("fake", "/v1/chat/completions", "/api/chat", "/tokenize", "/metrics", GREETING):
        assert text in said
    assert "Refused" not in said
    assert f"curl {url}/v1/chat/completions" in said


def test_the_command_of_the_page_is_answered(url: str) -> None:
    said = Elements(httpx.get(url, headers=BROWSER).text).said
    (line,) = re.findall(r"^curl .*$", said, re.MULTILINE)
    words = shlex.split(line)
    assert words[2::2] == ["-H", "-d"]
    name, _, value = words[3].partition(": ")
    answer = httpx.post(words[1], content=words[5], headers={name: value})
    assert answer.json()["choices"][0]["message"]["content"]


def test_head_says_what_get_would_without_a_body(url: str) -> None:
    for headers in (BROWSER, {"accept": "*/*"}):
        got, headed = httpx.get(url, headers=headers), httpx.head(url, headers=headers)
        assert headed.status_code == 200
        assert headed.content == b""
        for name in ("content-type", "content-length", "vary", "content-security-policy"):
            assert headed.headers.get(name) == got.headers.get(name)


def test_nothing_of_the_page_runs_or_comes_from_elsewhere(url: str) -> None:
    answer = httpx.get(url, headers=BROWSER)
    policy = answer.headers["content-security-policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    assert "url(" not in style
    assert "@import" not in style
    for tag, attributes in Elements(answer.text).found:
        assert tag not in ("script", "img", "iframe", "form", "link", "object")
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("style", "src")
            assert name != "href" or not re.match(r"[a-z]+:|//", value or "")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_can_be_read_without_seeing_it(url: str) -> None:
    found = Elements(httpx.get(url, headers=BROWSER).text).found
    tags = [tag for tag, _ in found]
    assert ("html", {"lang": "en"}) in found
    assert (tags.count("h1"), tags.count("main")) == (1, 1)
    assert all("scope" in attributes for tag, attributes in found if tag == "th")
    labels = {attributes["id"] for _, attributes in found if "id" in attributes}
    assert {a["aria-labelledby"] for _, a in found if "aria-labelledby" in a} <= labels


def test_with_keys_models_are_named_only_to_whom_they_are_open(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create_key(file, "none", models=["another"])
    key, other = create_key(file, "good"), create_key(file, "other", models=["another"])
    spec = replace(fake_models().get("fake"), name="secret-model", description="secret-words")
    models = Models({spec.name: spec}, spec.name)
    app = create_app(ModelPool(models), Settings(keys=file, log_requests=False))
    with serving(app) as url:

        def page(key: str) -> httpx.Response:
            shown = {"authorization": f"Bearer {key}"} if key else {}
            return httpx.get(url, headers=BROWSER | shown)

        assert httpx.get(url).text == GREETING
        assert page("").status_code == 200
        assert "secret" not in page("").text
        assert '"Authorization: Bearer $KEY"' in Elements(page("").text).said
        assert "secret-model" in page(key).text
        assert "secret" not in page(other).text
        assert page("gw-wrong").status_code == 401
        assert "secret" not in page("gw-wrong").text
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}//").status_code == 401


def test_names_and_hosts_of_a_hostile_kind_are_shown_as_they_are(tmp_path: Path) -> None:
    text = "<script>alert(1)</script>'\"$(id)"
    spec = replace(fake_models().get("fake"), name=text, description=text)
    models = Models({text: spec}, text)
    with serving(create_app(ModelPool(models), Settings(log_requests=False))) as url:
        page = Elements(httpx.get(url, headers=BROWSER).text)
        assert "script" not in [tag for tag, _ in page.found]
        assert page.said.count(text) >= 2
        (line,) = re.findall(r"^curl .*$", page.said, re.MULTILINE)
        assert json.loads(shlex.split(line)[-1])["model"] == text
        assert httpx.get(url, headers=BROWSER | {"host": "evil.example"}).status_code == 403
