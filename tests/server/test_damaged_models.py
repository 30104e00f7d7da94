"""A base or an adapter that is damaged is one error by name at every door, and others answer on."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file

from gateway.backends.pool import ModelPool
from gateway.backends.registry import load_backend, load_models
from gateway.core.errors import BackendError, GatewayError
from gateway.core.types import GenerationRequest, Message, Sampling
from gateway.models.locate import weights_path
from gateway.server.app import create_app, service_of
from gateway.server.settings import Settings
from tests.backends.transformers.tiny import write_adapter
from tests.support.chat_folder import rewrite_json, write_chat_folder
from tests.support.tiny_gguf import drawn, write_gguf

pytestmark = pytest.mark.needs("torch", "peft", "llama_cpp", "fastapi")

WEIGHTS, ADAPTED = "model.safetensors", "adapter_model.safetensors"
NORM = "model.layers.1.input_layernorm.weight"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
Tensors = dict[str, torch.Tensor]


def tensors(change: Callable[[Tensors], Tensors]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        file = next(folder / name for name in (ADAPTED, WEIGHTS) if (folder / name).is_file())
        save_file(change(load_file(file)), file, metadata={"format": "pt"})

    return rewrite


def pointer(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(POINTER)


def setting(name: str, **changes: object) -> Callable[[Path], None]:
    return lambda folder: rewrite_json(folder / name, **changes)


def far_token(folder: Path) -> None:
    """A chat template that writes a token which the tokenizer has and the model has not."""
    file = folder / "tokenizer.json"
    read = json.loads(file.read_text())
    token = {**read["added_tokens"][0], "special": True}
    read["added_tokens"] += [{**token, "id": n, "content": f"<x{n}>"} for n in range(156, 170)]
    file.write_text(json.dumps(read))
    (folder / "added_tokens.json").unlink()
    (folder / "chat_template.jinja").write_text("<x165>{{ messages[0].content }}")


BASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a tensor is missing": (
        tensors(lambda all_: {k: v for k, v in all_.items() if k != NORM}),
        f"it lacks {NORM}",
    ),
    "of another shape": (
        tensors(lambda all_: {**all_, NORM: torch.ones(63)}),
        f"of another shape: {NORM} (63, the model's is 64)",
    ),
    "in PEFT's clothes": (
        tensors(lambda all_: {f"base_model.model.{k}": v for k, v in all_.items()}),
        "no place for base_model.model.lm_head.weight",
    ),
    "numbers that are none": (
        tensors(lambda all_: {**all_, NORM: all_[NORM] * float("nan")}),
        "computes numbers that are not finite",
    ),
    "weights that were not fetched": (pointer(WEIGHTS), f"{WEIGHTS}: a pointer of Git LFS"),
    "a configuration that was not": (pointer("config.json"), "config.json: a pointer of Git LFS"),
    "a tokenizer that was not": (pointer("tokenizer.json"), "tokenizer.json: a pointer of Git LFS"),
    "cut off": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9]),
        "it is cut off",
    ),
    "a name that is not looked for": (
        lambda folder: (folder / WEIGHTS).rename(folder / "model.fp16.safetensors"),
        "is in it, but model.fp16.safetensors",
    ),
    "a number that is none": (
        setting("config.json", hidden_size="64"),
        "Field 'hidden_size' expected int",
    ),
    "no heads": (setting("config.json", num_attention_heads=0), "transformers cannot load it"),
    "an unknown architecture": (setting("config.json", model_type="quux"), "`quux`"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "a token beyond the model's": (far_token, "numbers for 160 tokens, and the text has token 164"),
    "a pickle": (
        lambda folder: (folder / WEIGHTS).rename(folder / "pytorch_model.bin"),
        "no safetensors in it",
    ),
    "an adapter in it": (
        lambda folder: (folder / "adapter_config.json").write_text("{}"),
        "it holds an adapter of PEFT",
    ),
}
ADAPTERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "one of a pair": (
        tensors(lambda all_: {k: v for k, v in all_.items() if "lora_A" in k}),
        "it lacks base_model.model.model.layers.0.self_attn.q_proj.lora_B",
    ),
    "no numbers": (
        tensors(lambda all_: {k: v * float("nan") for k, v in all_.items()}),
        "not finite",
    ),
    "more layers than it has": (
        setting("adapter_config.json", target_modules=["q_proj", "v_proj", "o_proj"]),
        "it lacks base_model.model.model.layers.0.self_attn.o_proj.lora_A",
    ),
    "a module that was not saved": (
        setting("adapter_config.json", modules_to_save=["lm_head"]),
        "it lacks base_model.model.lm_head.weight",
    ),
    "a configuration that was not fetched": (
        pointer("adapter_config.json"),
        "adapter_config.json: a pointer of Git LFS",
    ),
    "weights that were not fetched": (pointer(ADAPTED), f"{ADAPTED}: a pointer of Git LFS"),
}
KINDS = [*BASES, *(f"adapter: {kind}" for kind in ADAPTERS), "a GGUF of no numbers"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models.toml with an entry of each kind, and one that is whole."""
    root = tmp_path_factory.mktemp("damaged")
    good = write_chat_folder(root / "good")
    lora = write_adapter(root / "lora", good, "LORA")
    lines = ["default = 'good'"]
    lines += _entry("good", good)
    for number, (kind, (damage, _)) in enumerate(BASES.items()):
        damage(folder := shutil.copytree(good, root / f"base-{number}"))
        lines += _entry(kind, folder)
    for number, (kind, (damage, _)) in enumerate(ADAPTERS.items()):
        damage(folder := shutil.copytree(lora, root / f"lora-{number}"))
        lines += [*_entry(f"adapter: {kind}", good), f"adapter = '{folder}'"]
    broken = {**drawn(), "output_norm.weight": np.full(64, np.nan, np.float32)}
    (gguf,) = write_gguf(root / "m.gguf", broken)
    lines += [f"[models.'{_name(KINDS[-1])}']", f"source = {{ path = '{gguf}' }}", "threads = 1"]
    (root / "models.toml").write_text("\n".join(lines))
    return root


def _name(kind: str) -> str:
    return kind.replace(" ", "-").replace(":", "").replace("'", "")


def _entry(kind: str, folder: Path) -> list[str]:
    keys = ["backend = 'transformers'", "threads = 1", "parallel = 1", "context_length = 64"]
    source = f"source = {{ path = '{folder}' }}"
    return [f"[models.'{_name(kind)}']", source, "deterministic = 'off'", *keys]


def said_of(kind: str) -> str:
    known = {**BASES, **{f"adapter: {each}": found for each, found in ADAPTERS.items()}}
    return known[kind][1] if kind in known else "computes numbers that are not finite"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_is_told_by_name(root: Path, kind: str) -> None:
    spec = load_models(root / "models.toml").get(_name(kind))
    with pytest.raises(GatewayError) as raised:
        asyncio.run(_asked(load_backend(spec, weights_path(spec))))
    assert said_of(kind) in raised.value.message


async def _asked(backend: object) -> None:
    asked = GenerationRequest("m", (Message("user", "5 a"),), sampling=Sampling(max_tokens=2))
    try:
        await backend.generate(asked)  # type: ignore[attr-defined]
    finally:
        await backend.close()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[TestClient]:
    pool = ModelPool(load_models(root / "models.toml"), max_loaded=2)
    app = create_app(pool, Settings(log_requests=False))
    service_of(app).ready = True
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_says_so_without_its_folders_and_answers_on(
    root: Path, client: TestClient, kind: str
) -> None:
    status, said = _ask(client, _name(kind))
    assert status == (400 if "token beyond" in kind else 500)
    assert said_of(kind) in json.loads(said)["error"]["message"]
    assert str(root) not in said
    assert _ask(client, "good")[0] == 200


@pytest.mark.parametrize("name", ["good", "gguf"])
def test_weights_that_are_written_into_while_they_are_loaded_answer_no_more(
    root: Path, tmp_path: Path, name: str
) -> None:
    base = shutil.copytree(root / "good", tmp_path / "good")
    # Of the same weights in another file one copy is loaded, which may be the other's.
    tensors(lambda all_: {**all_, NORM: all_[NORM] * 1.1})(base)
    (gguf,) = write_gguf(tmp_path / "m.gguf", drawn(11))
    of_gguf = ["[models.gguf]", f"source = {{ path = '{gguf}' }}", "threads = 1"]
    (tmp_path / "models.toml").write_text("\n".join([*_entry("good", base), *of_gguf]))
    file = gguf if name == "gguf" else base / WEIGHTS
    spec = load_models(tmp_path / "models.toml").get(name)
    backend = load_backend(spec, weights_path(spec))
    request = GenerationRequest("m", (Message("user", "5 a"),), sampling=Sampling(max_tokens=2))

    async def before_and_after() -> None:
        await backend.generate(request)
        with file.open("r+b") as opened:
            opened.seek(-80, 2)
            opened.write(b"\x3f" * 80)
        with pytest.raises(BackendError, match="was written into while its model was loaded"):
            await backend.generate(request)
        await backend.close()

    asyncio.run(before_and_after())


def _ask(client: TestClient, model: str) -> tuple[int, str]:
    body = {"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": "5 a"}]}
    answer = client.post("/v1/chat/completions", json=body)
    return answer.status_code, answer.text
