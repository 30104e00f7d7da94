"""Models are loaded once, shared, evicted when idle, and never swapped for another."""

import asyncio
import threading
from pathlib import Path

import pytest

from gateway.backends.base import Backend
from gateway.backends.fake import FakeBackend
from gateway.config import Models, ModelSpec, PathSource
from gateway.errors import ModelLoadError, UnknownModel
from gateway.pool import ModelPool


class Loader:
    """Counts loads and closes; refuses models called "broken"."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __call__(self, spec: ModelSpec, path: Path) -> Backend:
        if spec.name == "broken":
            raise ModelLoadError("broken: can not be loaded")
        self.events.append(f"load {spec.name}")
        events = self.events

        class Closing(FakeBackend):
            async def close(self) -> None:
                events.append(f"close {spec.name}")

        return Closing(spec, path)


def pool(loader: Loader, *, max_loaded: int = 1) -> ModelPool:
    names = ("a", "b", "c", "broken")
    specs = {name: ModelSpec(name, PathSource(Path()), backend="fake") for name in names}
    return ModelPool(Models(specs, "a"), max_loaded=max_loaded, loader=loader)


async def use(models: ModelPool, name: str, seconds: float = 0.0) -> str:
    async with models.lease(name) as backend:
        await asyncio.sleep(seconds)
        return backend.spec.name


def test_concurrent_users_share_one_loaded_model() -> None:
    loader = Loader()

    async def scenario() -> list[str]:
        models = pool(loader)
        return await asyncio.gather(*(use(models, "a", 0.01) for _ in range(5)))

    assert asyncio.run(scenario()) == ["a"] * 5
    assert loader.events == ["load a"]


def test_the_least_recently_used_idle_model_is_evicted() -> None:
    loader = Loader()

    async def scenario() -> None:
        models = pool(loader, max_loaded=2)
        for name in ("a", "b", "a", "c"):
            await use(models, name)
        await models.close()

    asyncio.run(scenario())
    assert loader.events == ["load a", "load b", "close b", "load c", "close a", "close c"]


def test_a_request_for_another_model_waits_until_the_loaded_one_is_idle() -> None:
    loader = Loader()

    async def scenario() -> list[str]:
        models = pool(loader)
        return list(await asyncio.gather(use(models, "a", 0.05), use(models, "b")))

    assert asyncio.run(scenario()) == ["a", "b"]
    assert loader.events == ["load a", "close a", "load b"]


def test_a_model_that_does_not_load_leaves_the_pool_usable() -> None:
    loader = Loader()

    async def scenario() -> str:
        models = pool(loader)
        with pytest.raises(ModelLoadError):
            await use(models, "broken")
        return await use(models, "a")

    assert asyncio.run(scenario()) == "a"


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(UnknownModel, match="known: a, b, broken, c"):
        asyncio.run(use(pool(Loader()), "z"))


def test_a_model_that_loads_keeps_nobody_from_one_that_is_loaded() -> None:
    loader = Loader()
    gate = threading.Event()

    def slow(spec: ModelSpec, path: Path) -> Backend:
        if spec.name == "b":
            gate.wait(30)
        return loader(spec, path)

    async def scenario() -> str:
        models = pool(loader, max_loaded=2)
        models._loader = slow
        await use(models, "a")
        loading = asyncio.create_task(use(models, "b"))
        await asyncio.sleep(0)
        beside = await use(models, "a")
        assert not loading.done()
        gate.set()
        return beside + await loading

    assert asyncio.run(scenario()) == "ab"


def test_nobody_starves_while_others_keep_a_model_busy() -> None:
    async def scenario() -> int:
        models = pool(Loader())
        turns = 0

        async def keep_busy() -> None:
            nonlocal turns
            while True:
                await use(models, "a", 0.001)
                turns += 1

        busy = [asyncio.create_task(keep_busy()) for _ in range(3)]
        await asyncio.sleep(0.02)
        before = turns
        await asyncio.wait_for(use(models, "b"), 30)
        while turns == before:
            await asyncio.sleep(0.001)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        return turns

    assert asyncio.run(scenario()) > 0


def test_a_caller_that_is_cancelled_leaves_its_model_to_the_next_and_can_be_evicted() -> None:
    loader = Loader()
    gate = threading.Event()

    def slow(spec: ModelSpec, path: Path) -> Backend:
        gate.wait(30)
        return loader(spec, path)

    async def scenario() -> None:
        models = pool(loader)
        models._loader = slow
        caller = asyncio.create_task(use(models, "a"))
        await asyncio.sleep(0.01)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        gate.set()
        await use(models, "a")
        await use(models, "b")
        await models.close()

    asyncio.run(scenario())
    assert loader.events == ["load a", "close a", "load b", "close b"]
