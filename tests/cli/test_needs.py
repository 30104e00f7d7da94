"""Every command in the smallest environment that it claims, and what it says in a smaller one."""

import json
import os
import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.main

from gateway.cli.app import app
from gateway.cli.needs import NEEDS
from gateway.core.extras import EXTRAS
from gateway.models.environment import shipped
from tests.cli.actions import ACTIONS, MODELS
from tests.support.environments import (
    Done,
    Environment,
    closure,
    modules_of,
    own_extras,
    require_installed,
)
from tests.support.hub import hub
from tests.support.ollama_replay import Answer, Replay
from tests.support.ollama_server import gateway_process

Environments = Callable[..., Environment]

SHIPPED = shipped("prompts")
PRELOADED = {
    "": (
        *("sklearn.linear_model", "sklearn.metrics", "scipy.stats", "statsmodels.stats.multitest"),
        "matplotlib.figure",
    ),
    "transformers": ("torch", "transformers", "peft"),
    "nf4": ("torch", "transformers", "peft"),
    "hf": ("datasets",),
}
"""Extra -> libraries that most commands of its environment import: once for all of them."""
HEAVY = ("nf4", "transformers", "hf")
"""Extras with which others are tried: what they import takes seconds."""
AT_A_REGISTRY = ("models pull", "models remove", "models push-ollama")
"""Commands that change what an Ollama server has; the gateway's own /api lets nobody do that."""

IN_PROCESS = ("adapters compare", "tune")
"""Commands that do nothing without a model in this process."""

WORKS = [
    (command, extra)
    for command, needs in NEEDS.items()
    for extra in ("", *needs.sometimes)
    if extra or command not in IN_PROCESS
]
LACKS = [
    (command, extra)
    for command, needs in NEEDS.items()
    for extra in (*needs.always, *needs.sometimes)
]


def smallest(command: str, extra: str) -> set[str]:
    """The extras with which it does what this one is for."""
    needed = {*NEEDS[command].always, extra} - {""}
    if command in (*IN_PROCESS, "quantize") and extra in ("parquet", "hf"):
        needed.add("llama-cpp")  # They read data for a model, which runs in this process.
    return needed - {"transformers"} if "nf4" in needed else needed


def smaller(command: str, extra: str) -> set[str]:
    """The extras of an environment that lacks just this one."""
    if extra in NEEDS[command].always:
        return set()
    return smallest(command, extra) - {extra} | ({"transformers"} if extra == "nf4" else set())


@pytest.fixture(scope="module")
def hub_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "small.gguf").write_bytes(b"GGUF")
    with hub("owner/repo", folder) as (url, _):
        yield url


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """An Ollama server that lets its models be changed."""
    server = Replay()
    listed = '{"models": [{"name": "smol:latest", "digest": "0000"}]}'
    lines = ('{"status": "success"}',)
    server.always(
        Answer("GET /api/tags", lines=(listed,)),
        Answer("POST /api/pull", kind="application/x-ndjson", lines=lines),
        Answer("POST /api/create", kind="application/x-ndjson", lines=lines),
        Answer("HEAD /api/blobs/"),
        Answer("DELETE /api/delete"),
    )
    yield server.url
    server.close()


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory, hub_url: str) -> Iterator[Environments]:
    """Makes each environment once."""
    made: dict[frozenset[str], Environment] = {}

    def environment(*extras: str) -> Environment:
        require_installed(*extras)
        key = frozenset(extras)
        if key not in made:
            folder = tmp_path_factory.mktemp("environment")
            smaller = next(({each} for each in HEAVY if {each} < key), set())
            within = environment(*smaller) if key else None
            new = key - smaller if key else {""}
            preload = [module for each in sorted(new) for module in PRELOADED.get(each, ())]
            made[key] = Environment(folder, extras, preload, within, HF_ENDPOINT=hub_url)
        return made[key]

    yield environment
    for each in reversed(made.values()):
        each.close()


class Asker:
    """Asks commands what `ACTIONS` says, each in a folder of its own."""

    def __init__(self, world: Path, ollama: str, registry: str) -> None:
        self.world = world
        self._ollama, self._registry = ollama, registry
        self.run = ""
        """Of a run that was stored."""

    def arguments(self, command: str, extra: str) -> list[str]:
        said = ACTIONS[command]
        text = said if isinstance(said, str) else said.get(extra, said.get("", ""))
        data = {name: self._data(name, extra) for name in ("test", "learn", "answers")}
        model = MODELS.get(extra, "small" if NEEDS[command].always else "fake")
        paths = {"world": str(self.world), "shipped": str(SHIPPED), **data}
        quoted = {name: shlex.quote(path) for name, path in paths.items()}
        named = text.format(model=model, run=self.run, **quoted)
        return [*command.split(), *shlex.split(named)]

    def _data(self, name: str, extra: str) -> str:
        kinds = {"parquet": f"{self.world}/{name}.parquet", "hf": f"hf:{self.world}/sets/{name}"}
        return kinds.get(extra, f"{self.world}/{name}.csv")

    def settings(self, command: str, cwd: Path) -> dict[str, str]:
        """The environment variables of a command; a models.toml of its own, which it may change."""
        shutil.copy(self.world / "models.toml", cwd)
        return {
            "GATEWAY_MODELS": str(cwd / "models.toml"),
            "GATEWAY_DATA": str(cwd / "data"),
            "GATEWAY_PROMPTS": str(self.world / "prompts"),
            "GATEWAY_ADAPTERS": str(self.world / "adapters"),
            "OLLAMA_HOST": self._registry if command in AT_A_REGISTRY else self._ollama,
            "OLLAMA_MODELS": str(self.world / "ollama"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.world),
        }

    def __call__(self, environment: Environment, command: str, extra: str, cwd: Path) -> Done:
        asked = self.arguments(command, extra)
        return environment.gateway(*asked, cwd=cwd, **self.settings(command, cwd))


@pytest.fixture(scope="module")
def ask(
    environments: Environments, world: Path, registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asker]:
    with gateway_process((world / "models.toml").read_text(), world) as ollama:
        yield asker_of(world, ollama, registry, environments(), tmp_path_factory.mktemp("making"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.cli.smallest import make_world

    world = tmp_path_factory.mktemp("world")
    make_world(world)
    return world


def asker_of(world: Path, ollama: str, registry: str, core: Environment, making: Path) -> Asker:
    """With what some commands read, which others make."""
    asker = Asker(world, ollama, registry)
    settings = asker.settings("", making)
    for line in (
        "run -t mine --data test.csv -s scored,constrained --store store.sqlite --out report -q",
        "data export -t mine --data learn.csv -s scored --out chat.jsonl",
        "keys create me --keys keys.json",
    ):
        done = core.gateway(*line.split(), cwd=world, **settings)
        assert done.code == 0, done.err
    asker.run = json.loads((world / "report" / "report.json").read_text())["run_id"]
    return asker


def test_what_every_command_needs_is_said() -> None:
    assert sorted(leaves(typer.main.get_command(app))) == sorted(NEEDS)


def leaves(command: Any) -> Iterator[str]:
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from (f"{name} {leaf}" for leaf in leaves(each))
        else:
            yield name


def test_every_extra_is_one_that_a_command_needs() -> None:
    needed = {extra for _, extra in LACKS}
    assert needed == EXTRAS.keys() == own_extras() - {"dev", "test"}


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_an_extra_brings_the_modules_for_which_it_is_asked(extra: str) -> None:
    require_installed(extra)
    core, brought = modules_of(closure([])), modules_of(closure([extra]))
    assert set(EXTRAS[extra]) <= brought - core


@pytest.mark.parametrize(("command", "extra"), WORKS)
def test_a_command_works_where_nothing_is_installed_but_what_it_needs(
    environments: Environments, ask: Asker, tmp_path: Path, command: str, extra: str
) -> None:
    environment = environments(*smallest(command, extra))
    if command == "serve":
        serves(environment, ask, extra, tmp_path)
        return
    if command == "keys revoke":
        shutil.copy(ask.world / "keys.json", tmp_path)
    done = ask(environment, command, extra, tmp_path)
    # A server tells bounds of labels' scores, and what is not known is not said to be equal.
    assert done.code == int((command, extra) == ("parity", "ollama")), done.err


@pytest.mark.parametrize(("command", "extra"), LACKS)
def test_a_command_that_lacks_an_extra_says_which_in_one_line(
    environments: Environments, ask: Asker, tmp_path: Path, command: str, extra: str
) -> None:
    done = ask(environments(*smaller(command, extra)), command, extra, tmp_path)
    assert done.code == 2, done.err
    *_, said, hint = done.err.strip().splitlines()
    assert re.fullmatch(rf'error: \w+ is not installed; the extra "{extra}" brings it', said)
    assert f"[{extra}]" in hint
    assert "Traceback" not in done.err


def serves(environment: Environment, ask: Asker, extra: str, cwd: Path) -> None:
    """Start the server, ask it one thing, and end it."""
    asked = ask.arguments("serve", extra)
    process, said = environment.start(*asked, cwd=cwd, **ask.settings("serve", cwd))
    try:
        url = address_in(said)
        body = {"model": MODELS[extra], "prompt": "amber", "max_tokens": 3}
        answer = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
    finally:
        os.kill(process, signal.SIGTERM)
        code = environment.code_of(process)
    assert answer.json()["choices"][0]["text"], answer.text
    assert code == 0, said.read_text()


def address_in(said: Path) -> str:
    """Of a server, once it says it."""
    for _ in range(6_000):
        if ready := re.search(r"serving on (http://[^/]+)/v1", said.read_text()):
            return ready[1]
        assert "error:" not in said.read_text(), said.read_text()
        time.sleep(0.01)
    raise AssertionError(said.read_text())
