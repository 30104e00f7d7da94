"""Models are loaded once, shared, evicted when idle, and never swapped for another."""

import asyncio
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
