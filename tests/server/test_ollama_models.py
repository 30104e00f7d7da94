"""What is told of models, and how they are loaded and unloaded."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import ollama
import pytest

from gateway.backends.pool import ModelPool
from gateway.backends.transformers.spec import TransformersSpec
from gateway.models.adapters.folder import CONFIG, WEIGHTS
from gateway.models.environment import digest_memory
from gateway.models.gguf_reader import PlainReader
from gateway.models.spec import ModelSpec
from gateway.models.weights import weights_digests
from gateway.server.app import create_app
from gateway.server.keys import create_key
from gateway.server.ollama import models as routes
from gateway.server.ollama.describing import Description, describe_all
from gateway.server.settings import Settings
from tests.conftest import few_layers
from tests.server.conftest import CHAT, TOOLS, fake_models, real_models, serving
from tests.server.waiting import wait_until
from tests.support.bases import entry
from tests.support.chat_folder import rewrite_json

NAMES = [f"{CHAT}:latest", f"{TOOLS}:latest"]


@pytest.fixture(scope="module")
def own() -> Iterator[ollama.Client]:
    """A server of this module's own: its models come and go."""
    app = create_app(ModelPool(real_models(), max_loaded=2), Settings(log_requests=False))
    with serving(app) as url, ollama.Client(url) as client:
        yield client


@pytest.fixture(scope="module")
def path() -> Path:
    return few_layers(CHAT)[1]


def running(client: ollama.Client) -> list[str | None]:
    return [model.name for model in client.ps().models]


def test_models_are_listed_with_the_size_and_digest_of_their_contents(
    own: ollama.Client, path: Path
) -> None:
    models = own.list().models
    assert [model.model for model in models] == NAMES
    assert {model.size for model in models} == {path.stat().st_size}
    contents = weights_digests(path, digest_memory()).contents
    assert {model.digest for model in models} == {contents}
    details = models[0].details
    assert details is not None
    assert (details.family, details.format) == ("llama", "gguf")
    assert (details.parameter_size, details.quantization_level) == ("38.93M", "Q4_1")


def test_a_model_is_shown_with_what_its_file_says(own: ollama.Client, path: Path) -> None:
    shown = own.show(CHAT)
    info = shown.modelinfo
    assert info is not None
    reader = PlainReader(path)
    assert set(reader.fields) - {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"} <= set(info)
    for name in ("llama.block_count", "general.architecture", "llama.rope.freq_base"):
        assert info[name] == reader.fields[name].contents()
    # Clients ask for as much context as this says, so it is what is served.
    assert info["llama.context_length"] == 2048
    assert reader.fields["llama.context_length"].contents() == 8192
    assert info["general.parameter_count"] == sum(int(t.n_elements) for t in reader.tensors)
    assert info["tokenizer.ggml.tokens"] is None
    assert shown.template == reader.fields["tokenizer.chat_template"].contents()
    assert shown.license == "Apache-2.0"
    assert (shown.parameters or "").splitlines()[0].split() == ["temperature", "0"]
    assert str(path.parent) not in (shown.modelfile or "")


def test_tools_are_a_capability_wherever_they_are_shown(own: ollama.Client) -> None:
    """By the chat template, or in the system message."""
    for name in (CHAT, TOOLS):
        assert "tools" in (own.show(name).capabilities or ())


def test_verbose_shows_the_vocabulary_too(own: ollama.Client) -> None:
    base = str(own._client.base_url)
    shown = httpx.post(f"{base}/api/show", json={"name": CHAT, "verbose": True}).json()
    assert len(shown["model_info"]["tokenizer.ggml.tokens"]) == 49152
    assert len(shown["tensors"]) == 29


def test_an_empty_request_loads_and_no_time_to_live_unloads(own: ollama.Client) -> None:
    for load in (own.generate(CHAT), own.chat(CHAT), own.chat(CHAT, [], keep_alive="1h")):
        assert (load.done, load.done_reason) == (True, "load")
        assert load.eval_count is None
    assert running(own) == NAMES[:1]
    assert own.chat(CHAT, keep_alive=0).done_reason == "unload"
    assert running(own) == []
    assert own.generate(CHAT, keep_alive="0s").done_reason == "unload"


def test_a_running_model_tells_its_memory_context_and_end(own: ollama.Client) -> None:
    own.generate(CHAT, keep_alive="10m")
    (model,) = own.ps().models
    assert model.context_length == 2048
    assert (model.size or 0) > few_layers(CHAT)[1].stat().st_size * 0.9
    assert model.expires_at is not None
    left = model.expires_at - datetime.now(UTC)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)
    for stays in (-1, "-1m", None):
        own.generate(CHAT, keep_alive=stays)
        (model,) = own.ps().models
        assert model.expires_at is not None
        assert model.expires_at.year == 9999


def test_a_model_goes_when_its_time_is_over_and_a_request_begins_it_anew(
    own: ollama.Client,
) -> None:
    own.generate(CHAT, "Hi", options={"num_predict": 1}, keep_alive=0)
    wait_until(lambda: running(own) == [])
    own.generate(CHAT, keep_alive="50ms")
    wait_until(lambda: running(own) == [])
    own.generate(CHAT, keep_alive="1h")
    own.generate(CHAT)
    assert running(own) == NAMES[:1]


def test_an_unload_waits_for_who_uses_the_model(own: ollama.Client) -> None:
    asked = {"options": {"num_predict": 150}, "stream": True}
    parts = own.generate(CHAT, "Write a long story.", **asked)  # type: ignore[call-overload]
    first = next(parts)
    assert own.generate(CHAT, keep_alive=0).done_reason == "unload"
    rest = list(parts)
    assert not first.done
    assert rest[-1].done
    wait_until(lambda: running(own) == [])


def test_a_key_sees_and_asks_only_its_own_models(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    secret = create_key(keys, "one", models=(CHAT,))
    app = create_app(
        ModelPool(real_models(), max_loaded=2), Settings(log_requests=False, keys=keys)
    )
    with serving(app) as url:
        with ollama.Client(url) as client:
            with pytest.raises(ollama.ResponseError, match="no API key") as caught:
                client.list()
            assert caught.value.status_code == 401
        with ollama.Client(url, headers={"authorization": f"Bearer {secret}"}) as client:
            assert [model.model for model in client.list().models] == NAMES[:1]
            with pytest.raises(ollama.ResponseError, match=TOOLS) as caught:
                client.show(TOOLS)
            assert caught.value.status_code == 403
            with pytest.raises(ollama.ResponseError) as caught:
                client.generate(TOOLS, keep_alive=0)
            assert caught.value.status_code == 403


def test_a_model_without_a_file_is_listed_without_what_a_file_says() -> None:
    app = create_app(ModelPool(fake_models()), Settings(log_requests=False))
    with serving(app) as url, ollama.Client(url) as client:
        (model,) = client.list().models
        assert (model.model, model.size) == ("fake:latest", 0)
        assert client.show("fake").modelinfo == {}
        client.generate("fake")
        assert running(client) == ["fake:latest"]


def test_a_model_that_goes_while_files_are_read_is_not_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = ModelPool(real_models(), max_loaded=2)
    app = create_app(pool, Settings(log_requests=False))
    with serving(app) as url, ollama.Client(url) as client:

        def describe_slowly(specs: Sequence[ModelSpec]) -> list[Description]:
            found = describe_all(specs)
            with ollama.Client(url) as other:
                other.generate(CHAT, keep_alive=0)
            wait_until(lambda: CHAT not in pool.loaded)
            return found

        client.generate(CHAT, "Hi", options={"num_predict": 1})
        assert running(client) == NAMES[:1]
        monkeypatch.setattr(routes, "describe_all", describe_slowly)
        assert running(client) == []


def test_an_adapter_in_a_folder_is_part_of_size_and_digest(path: Path, tmp_path: Path) -> None:
    spec, _ = few_layers(CHAT)
    on_torch = TransformersSpec.like(spec)
    (tmp_path / CONFIG).write_text("{}")
    (tmp_path / WEIGHTS).write_bytes(bytes(1000))
    (base,) = describe_all([on_torch])
    (tuned,) = describe_all([replace(on_torch, adapter=tmp_path)])
    assert tuned.size == base.size + 1000
    assert tuned.digest != base.digest
    (tmp_path / WEIGHTS).write_bytes(bytes(1000)[:-1] + b"1")
    (changed,) = describe_all([replace(on_torch, adapter=tmp_path)])
    assert changed.digest != tuned.digest
    (tmp_path / WEIGHTS).unlink()
    assert describe_all([replace(on_torch, adapter=tmp_path)]) == []


def test_a_changed_file_of_a_folder_is_another_digest(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "base")
    (before,) = describe_all([entry(folder)])
    (same,) = describe_all([replace(entry(folder), name="other")])
    assert same.digest == before.digest
    assert before.size > 300_000
    rewrite_json(folder / "config.json", rms_norm_eps=0.1)
    (after,) = describe_all([entry(folder)])
    assert after.digest != before.digest
