"""All that loading a model reads is in its fingerprint, or cannot change a byte.

Files are traced by the kernel, because libraries open them outside Python. Then each is damaged,
byte by byte: what is loaded has another fingerprint, or answers the same, or is refused.
"""

import asyncio
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.backends.registry import load_backend, load_models
from gateway.core.errors import GatewayError
from gateway.core.types import GenerationRequest, Message, Sampling
from gateway.models.covered import FILES, Covered
from gateway.models.locate import weights_path
from tests.conftest import ROOT
from tests.support.chat_folder import CHATML, rewrite_json, write_chat_adapter, write_chat_folder
from tests.support.opened import opened_in


@dataclass(frozen=True)
class Answer:
    fingerprint: str
    said: tuple[Any, ...]
    keys: frozenset[str]


def ask(root: Path) -> Answer:
    """The entry "tiny" of models.toml, loaded and asked once."""
    models = load_models(root / "models.toml")
    spec = models.get("tiny")
    backend = load_backend(spec, weights_path(spec))
    request = GenerationRequest(
        "tiny",
        messages=(Message("user", "5 <|tool|> a"),),
        sampling=Sampling(max_tokens=3),
        logprobs=0,
    )
    try:
        return asyncio.run(_asked(backend, request))
    finally:
        asyncio.run(backend.close())


async def _asked(backend: Any, request: GenerationRequest) -> Answer:
    done = await backend.generate(request)
    scores = await backend.score_labels(request, ("a", "b"))
    said = (done.text, done.token_ids, done.logprobs, scores.logprobs)
    return Answer(backend.fingerprint, said, frozenset(backend.identity))


def write_entry(root: Path, source: str, **keys: object) -> None:
    """models.toml with the one entry "tiny"."""
    lines = ['default = "tiny"', "[models.tiny]", f"source = {source}", "threads = 1"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in {"parallel": 1, **keys}.items()]
    (root / "models.toml").write_text("\n".join([*lines, ""]))


def folder_with_adapter(root: Path) -> None:
    base = write_chat_folder(root / "base")
    write_chat_adapter(root / "lora", base)
    write_entry(
        root,
        '{ path = "base" }',
        backend="transformers",
        adapter="lora",
        deterministic="off",
        context_length=64,
    )


def shards(root: Path) -> None:
    write_chat_folder(root / "base", shards="150KB")
    write_entry(
        root,
        '{ path = "base" }',
        backend="transformers",
        deterministic="off",
        context_length=64,
    )


def gguf_of_a_modelfile(root: Path) -> None:
    from tests.support.gguf_adapters import write_adapter
    from tests.support.tiny_gguf import WIDTH, write_gguf

    write_gguf(root / "m.gguf")
    write_adapter(root / "adapter.gguf", 0, targets={"blk.0.attn_q.weight": (WIDTH, WIDTH)})
    (root / "Modelfile").write_text("FROM ./m.gguf\nADAPTER adapter.gguf\nPARAMETER num_ctx 128\n")
    (root / "entry.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}:")
    write_entry(root, '{ modelfile = "Modelfile" }', chat_template="entry.jinja")


def split_gguf(root: Path) -> None:
    from tests.support.tiny_gguf import write_gguf

    (first, *_) = write_gguf(root / "m.gguf", tensors_a_part=8)
    write_entry(root, json.dumps({"path": first.name}).replace(":", " ="), context_length=128)


def gguf_on_torch(root: Path) -> None:
    from tests.support.tiny_gguf import write_gguf

    write_gguf(root / "m.gguf")
    for name in ("config.json", "generation_config.json", "chat_template.jinja"):
        (root / name).write_text('{"eos_token_id": 7}')
    write_entry(
        root,
        '{ path = "m.gguf" }',
        backend="transformers",
        deterministic="off",
        context_length=64,
    )


CASES: dict[str, Callable[[Path], None]] = {
    made.__name__: made
    for made in (folder_with_adapter, shards, gguf_of_a_modelfile, split_gguf, gguf_on_torch)
}


@dataclass(frozen=True)
class Loaded:
    root: Path
    opened: frozenset[str]
    answer: Answer


@pytest.fixture(scope="module", params=CASES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """A case that was loaded and asked once."""
    root = tmp_path_factory.mktemp(request.param)
    CASES[request.param](root)
    with opened_in(root) as opened:
        answer = ask(root)
    return Loaded(root, frozenset(opened), answer)


def covering(name: str) -> Covered | None:
    """How a file that was opened counts; None: nothing is said of it."""
    file = Path(name)
    return next((said for pattern, said in FILES.items() if file.match(pattern)), None)


@pytest.mark.needs("llama_cpp", "torch", "peft")
def test_every_file_that_loading_opens_is_in_the_identity_or_harmless(loaded: Loaded) -> None:
    assert [name for name in sorted(loaded.opened) if covering(name) is None] == []
    assert loaded.opened


@pytest.mark.needs("llama_cpp", "torch", "peft")
def test_no_damaged_byte_changes_an_answer_under_the_same_fingerprint(
    loaded: Loaded, pytestconfig: pytest.Config
) -> None:
    noticed = set()
    for name in sorted(loaded.opened):
        for found in asked_of_damaged(loaded, name, pytestconfig.getoption("--fuzz") // 1000):
            if found is None or found.fingerprint != loaded.answer.fingerprint:
                noticed.add(name)
            else:
                assert found.said == loaded.answer.said, name
    assert {name for name in loaded.opened if is_read_by_bytes(name)} <= noticed
    assert ask(loaded.root) == loaded.answer


def is_read_by_bytes(name: str) -> bool:
    """Not of an index, of which what names the same files does nothing."""
    said = covering(name)
    return said is not None and said.by == "bytes"


def asked_of_damaged(loaded: Loaded, name: str, most: int) -> Iterator[Answer | None]:
    """What answers with one bit of a file turned over; None: it is refused.

    Args:
        most: how many places of a file, beside those that are always looked at.
    """
    file = loaded.root / name
    data = file.read_bytes()
    try:
        for place, bit in [*((place, 1) for place in places(data)), *drawn(name, data, most)]:
            file.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
            yield or_none(loaded.root)
    finally:
        file.write_bytes(data)


def drawn(name: str, data: bytes, most: int) -> list[tuple[int, int]]:
    """Places of a file and a bit of each, the same for the same name."""
    draw = random.Random(name)  # noqa: S311
    return [(draw.randrange(len(data)), 1 << draw.randrange(8)) for _ in range(most)]


def places(data: bytes) -> list[int]:
    """Where each file is damaged: where tensors and what matters in a GGUF's header lie."""
    if data[8:10] == b'{"':  # safetensors
        return [len(data) - 2]
    if not data.startswith(b"GGUF"):
        return [len(data) * share // 10 for share in (4, 9)]
    named = (b"rope.freq_base", b"tokenizer.chat_template", b"attn_q.weight", b"lora.alpha")
    ends = [data.find(name) + len(name) for name in named if name in data]
    return [len(data) - 40, *(end - 1 for end in ends), *(end + 15 for end in ends)]


def or_none(root: Path) -> Answer | None:
    try:
        return ask(root)
    except GatewayError:
        return None


def test_the_manual_lists_what_cannot_change_an_answer() -> None:
    said = " ".join((ROOT / "gateway/manual/determinism.md").read_text().split())
    for pattern, covered in FILES.items():
        assert covered.idle.partition(":")[0] in said, pattern
        assert f"`{pattern}`" in said or pattern.endswith(("gguf", "jinja")), pattern


CHANGES: dict[str, tuple[str, dict[str, object]]] = {
    "other end tokens": ("base/generation_config.json", {"eos_token_id": [2, 70]}),
    "another end of the tokenizer": ("base/special_tokens_map.json", {"eos_token": "<s>"}),
    "a token that is added": ("base/added_tokens.json", {"5 a": 156}),
    "another scale": ("lora/adapter_config.json", {"lora_alpha": 9}),
    "another norm": ("base/config.json", {"rms_norm_eps": 0.1}),
}


@pytest.mark.needs("torch", "peft")
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_small_file_says_is_in_the_fingerprint(
    chat_folder: Path, tmp_path: Path, change: str
) -> None:
    root = tmp_path / "root"
    shutil.copytree(chat_folder, root)
    before = ask(root)
    name, changes = CHANGES[change]
    rewrite_json(root / name, **changes)
    assert ask(root).fingerprint != before.fingerprint


@pytest.fixture(scope="module")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chat")
    folder_with_adapter(root)
    return root


KEYS = (
    *("backend", "weights", "dtype", "device", "attention", "chat_template", "end_of_turn"),
    *("context_length", "version", "build", "settings"),
)


@pytest.mark.needs("torch", "peft")
def test_a_folder_as_transformers_saves_it_has_the_keys_that_it_always_had(tmp_path: Path) -> None:
    template = CHATML.replace("<|im_end|>", "</s>")
    base = write_chat_folder(tmp_path / "base", template=template)
    for name in ("special_tokens_map.json", "added_tokens.json"):
        (base / name).unlink()
    write_entry(tmp_path, '{ path = "base" }', backend="transformers", context_length=64)
    assert ask(tmp_path).keys == frozenset(KEYS)
