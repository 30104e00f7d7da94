"""What is made on, fetched to and removed from an Ollama server, as a real one answered."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.backends.ollama.modelfile_writer import write_modelfile
from gateway.backends.registry import load_models
from gateway.core.digests import file_digest
from gateway.models import modelfile
from tests.cli.conftest import Gateway
from tests.conftest import spec_and_path
from tests.support.ollama_replay import Answer, Exchange, Replay

NAME = "smol:plain"
PUSH = ("models", "push-ollama", "smollm2-135m", "--as", NAME)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    made = Replay()
    monkeypatch.setenv("OLLAMA_HOST", made.url)
    yield made
    made.close()


@pytest.fixture
def weights() -> Path:
    return spec_and_path("smollm2-135m")[1]


def recorded(*names: str) -> list[Answer]:
    return [Exchange(name).answer() for name in names]


def test_an_entry_is_made_as_its_modelfile_says(
    gateway: Gateway, server: Replay, weights: Path
) -> None:
    steps = ("004-tags-empty", "009-blob-head-absent", "011-blob-upload", "013-create-stream")
    with server.answering(*recorded(*steps, "118-tags-all")) as asked:
        done = gateway(*PUSH)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{NAME} fd5f44c0b5af")
    digest = f"sha256:{file_digest(weights)}"
    assert [r.path for r in asked if "blobs" in r.path] == [f"/api/blobs/{digest}"] * 2
    said = modelfile.parse(write_modelfile(load_models().get("smollm2-135m")))
    (create,) = [r.body for r in asked if r.path == "/api/create"]
    assert create == {
        "model": NAME,
        "files": {weights.name: digest},
        "template": said.template,
        "parameters": {
            "num_ctx": 4096,
            "temperature": 0,
            "top_k": 0,
            "top_p": 1,
            "min_p": 0,
            "repeat_penalty": 1,
            "seed": 0,
            "stop": ["<|im_end|>"],
        },
    }


def test_a_file_that_the_server_has_is_not_sent_again(
    gateway: Gateway, server: Replay, weights: Path
) -> None:
    steps = ("004-tags-empty", "012-blob-head-present", "013-create-stream", "118-tags-all")
    with server.answering(*recorded(*steps)):
        assert gateway(*PUSH).code == 0


def test_a_name_that_is_taken_is_replaced_only_by_force(
    gateway: Gateway, server: Replay, weights: Path
) -> None:
    with server.answering(*recorded("118-tags-all")):
        done = gateway(*PUSH)
    assert done.code == 2
    assert "--force" in done.err
    steps = ("012-blob-head-present", "013-create-stream", "118-tags-all")
    with server.answering(*recorded(*steps)):
        assert gateway(*PUSH, "--force").code == 0


def test_what_the_server_can_not_make_is_said_in_its_words(
    gateway: Gateway, server: Replay, weights: Path
) -> None:
    steps = ("004-tags-empty", "012-blob-head-present", "019-create-corrupt-gguf")
    with server.answering(*recorded(*steps)):
        done = gateway(*PUSH)
    assert done.code == 1
    assert "llama-quantize failed" in done.err


def test_a_model_without_a_template_can_not_be_pushed(gateway: Gateway, server: Replay) -> None:
    spec_and_path("gemma3-270m")
    with server.answering():
        done = gateway("models", "push-ollama", "gemma3-270m")
    assert done.code == 2
    assert "no chat template" in done.err


@pytest.mark.needs("ollama")
def test_a_model_is_fetched_step_by_step(gateway: Gateway, server: Replay) -> None:
    """No pull could be recorded offline; its lines are those of a creation, with sizes."""
    digest = "sha256:" + "0" * 64
    lines = (
        '{"status": "pulling manifest"}',
        *(
            f'{{"status": "pulling", "digest": "{digest}", "total": 9, "completed": {n}}}'
            for n in (1, 9)
        ),
        '{"status": "success"}',
    )
    pulled = Answer("POST /api/pull", kind="application/x-ndjson", lines=lines)
    with server.answering(pulled, *recorded("118-tags-all")) as asked:
        done = gateway("models", "pull", f"ollama:{NAME}")
    assert done.code == 0, done.err
    assert asked[0].body == {"model": NAME}
    assert "pulling manifest" in done.err
    assert "success" in done.err
    assert done.out.startswith(f"{NAME} fd5f44c0b5af")


@pytest.mark.needs("ollama")
def test_a_model_that_can_not_be_fetched_is_said_in_the_server_s_words(
    gateway: Gateway, server: Replay
) -> None:
    with server.answering(*recorded("088-pull-offline")):
        done = gateway("models", "pull", "ollama:smollm2:135m")
    assert done.code == 1
    assert "no such host" in done.err


@pytest.mark.needs("ollama")
def test_a_model_is_removed_by_who_means_it(
    gateway: Gateway, server: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = ("models", "remove", f"ollama:{NAME}")
    with server.answering(*recorded("118-tags-all", "092-delete")) as asked:
        assert gateway(*remove, "--yes").code == 0
    assert asked[-1].body == {"model": NAME}
    monkeypatch.setattr("sys.stdin", io.StringIO("n\ny\n"))
    with server.answering(*recorded("118-tags-all")):
        done = gateway(*remove)
    assert (done.code, "nothing was deleted" in done.err) == (1, True)
    with server.answering(*recorded("118-tags-all", "092-delete")):
        assert gateway(*remove).code == 0
    with server.answering(*recorded("118-tags-all")):
        done = gateway("models", "remove", "ollama:nosuch", "--yes")
    assert done.code == 2
    assert "nosuch is not on the Ollama server" in done.err
