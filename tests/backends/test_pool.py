"""Models are loaded once, shared, evicted when idle, and never swapped for another."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.backends.fake import FakeBackend, FakeSpec
from gateway.backends.pool import ModelPool
from gateway.backends.protocol import Backend
from gateway.core.errors import ModelLoadError, ModelTooLarge, UnknownModel
from gateway.core.types import MemoryUse
from gateway.models.file import Models
from gateway.models.spec import ModelSpec, PathSource


class Loader:
    """Counts loads and closes; refuses models called "broken"."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __call__(self, spec: ModelSpec, path: Path) -> Backend:
        if spec.name == "broken":
            raise ModelLoadError("broken: cannot be loaded")
        self.events.append(f"load {spec.name}")
        events = self.events

        class Closing(FakeBackend):
            async def close(self) -> None:
                events.append(f"close {spec.name}")

        return Closing(spec, path)


def pool(loader: Loader, *, max_loaded: int = 1) -> ModelPool:
    names = ("a", "b", "c", "broken")
    specs = {name: FakeSpec(name, PathSource(Path())) for name in names}
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


def test_models_are_closed_where_the_pool_s_block_ends_however_it_ends() -> None:
    loader = Loader()

    async def scenario() -> None:
        async with pool(loader) as models:
            await use(models, "a")
            raise KeyError("what ended it")

    with pytest.raises(KeyError, match="what ended it"):
        asyncio.run(scenario())
    assert loader.events == ["load a", "close a"]


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


@dataclass
class Sized:
    """Loads models that take as many bytes as they are told, with a file each or one for all."""

    folder: Path
    own: Mapping[str, int]
    """Of each model, its cache and scratch."""
    shared: bool = False
    events: list[str] = field(default_factory=list)

    def __call__(self, spec: ModelSpec, path: Path) -> Backend:
        self.events.append(f"load {spec.name}")
        events, weights, own = self.events, path.stat().st_size, self.own[spec.name]

        class Heavy(FakeBackend):
            @property
            def memory(self) -> MemoryUse:
                return MemoryUse(weights, own - 10, 10)

            async def close(self) -> None:
                events.append(f"close {spec.name}")

        return Heavy(spec, path)

    def pool(self, memory: int) -> ModelPool:
        """Models of 100 bytes of weights and what they have of their own."""
        specs = {}
        for name in self.own:
            file = self.folder / ("all" if self.shared else name)
            file.write_bytes(bytes(100))
            specs[name] = ModelSpec(name, PathSource(file))
        return ModelPool(Models(specs, "a"), max_loaded=9, memory=memory, loader=self)


def test_what_does_not_fit_in_memory_evicts_only_as_many_idle_models_as_it_must(
    tmp_path: Path,
) -> None:
    loader = Sized(tmp_path, {"a": 20, "b": 20, "c": 20})

    async def scenario() -> None:
        models = loader.pool(memory=240)
        for name in "abac":
            await use(models, name)
        assert set(models.loaded) == {"a", "c"}

    asyncio.run(scenario())
    assert loader.events == ["load a", "load b", "close b", "load c"]


def test_entries_on_one_file_count_its_bytes_once(tmp_path: Path) -> None:
    loader = Sized(tmp_path, {"a": 20, "b": 20, "c": 20}, shared=True)

    async def scenario() -> None:
        models = loader.pool(memory=160)
        for name in "abc":
            await use(models, name)
        assert set(models.loaded) == {"a", "b", "c"}

    asyncio.run(scenario())


def test_a_request_waits_while_all_memory_is_in_use(tmp_path: Path) -> None:
    loader = Sized(tmp_path, {"a": 20, "b": 20})

    async def scenario() -> str:
        models = loader.pool(memory=200)
        async with models.lease("a"):
            asked = asyncio.create_task(use(models, "b"))
            for _ in range(50):
                await asyncio.sleep(0)
            assert loader.events == ["load a"]
        return await asked

    assert asyncio.run(scenario()) == "b"
    assert loader.events == ["load a", "close a", "load b"]


def test_two_that_load_at_once_and_turn_out_too_large_are_both_served(tmp_path: Path) -> None:
    loader = Sized(tmp_path, {"a": 20, "b": 20})

    async def scenario() -> list[str]:
        models = loader.pool(memory=200)
        served = await asyncio.gather(use(models, "a"), use(models, "b"))
        assert len(models.loaded) == 1
        return list(served)

    assert asyncio.run(scenario()) == ["a", "b"]


def test_what_turns_out_too_large_beside_one_in_use_is_closed_and_loaded_again_when_it_fits(
    tmp_path: Path,
) -> None:
    loader = Sized(tmp_path, {"a": 20, "b": 90})

    async def scenario() -> str:
        models = loader.pool(memory=260)
        async with models.lease("a"):
            asked = asyncio.create_task(use(models, "b"))
            while "close b" not in loader.events:
                await asyncio.sleep(0)
            assert set(models.loaded) == {"a"}
        return await asked

    assert asyncio.run(scenario()) == "b"
    assert loader.events == ["load a", "load b", "close b", "close a", "load b"]


def test_a_model_that_never_fits_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    loader = Sized(tmp_path, {"a": 20, "b": 60})

    async def scenario() -> None:
        models = loader.pool(memory=150)
        for _ in range(2):
            with pytest.raises(ModelTooLarge, match=r"b takes 0 MB .* --memory"):
                await use(models, "b")
        assert await use(models, "a") == "a"

    asyncio.run(scenario())
    # Its file would fit, so that it is loaded once to see what else it takes, and never again.
    assert loader.events == ["load b", "close b", "load a"]


def test_a_file_larger_than_the_memory_is_not_even_loaded(tmp_path: Path) -> None:
    loader = Sized(tmp_path, {"a": 20})
    with pytest.raises(ModelTooLarge):
        asyncio.run(use(loader.pool(memory=99), "a"))
    assert loader.events == []


def test_in_any_order_the_models_stay_within_the_memory_and_everybody_is_served(
    tmp_path: Path,
) -> None:
    loader = Sized(tmp_path, {"a": 20, "b": 90, "c": 50, "d": 10})
    order = "abcdbcadcbdacabd" * 3

    async def scenario() -> list[str]:
        models = loader.pool(memory=300)

        async def ask(name: str, turn: int) -> str:
            async with models.lease(name) as backend:
                sizes = [100 + loader.own[n] for n in models.loaded]
                assert sum(sizes) <= 300
                await asyncio.sleep(turn % 3 / 1000)
                return backend.spec.name

        return await asyncio.gather(*(ask(name, turn) for turn, name in enumerate(order)))

    assert "".join(asyncio.run(asyncio.wait_for(scenario(), 60))) == order
