"""Work for code that is async, and for code that is not."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from gateway.core.concurrency import Work, blocking, for_each, taking, then_computing


@dataclass(frozen=True)
class Sum:
    a: int
    b: int = 2


@blocking
@taking(Sum)
def added(of: Sum) -> Work[int]:
    """The sum."""

    async def add() -> int:
        await asyncio.sleep(0)
        return of.a + of.b

    return add()


def test_it_is_done_when_it_is_called_or_when_it_is_awaited() -> None:
    assert added(1) == asyncio.run(added.aio(a=1)) == 3


def test_it_takes_the_fields_and_says_so() -> None:
    assert added.__doc__ == "The sum."
    assert list(inspect.signature(added).parameters) == ["a", "b"]
    with pytest.raises(TypeError, match="unexpected keyword"):
        added(1, c=3)  # type: ignore[call-arg]


def test_in_an_event_loop_it_says_what_to_await() -> None:
    async def wrong() -> int:
        return added(1)

    with pytest.raises(RuntimeError, match=r"await added\.aio"):
        asyncio.run(wrong())


@then_computing
@taking(Sum)
def computed(of: Sum) -> Work[Callable[[], tuple[int, bool]]]:
    """The sum, and whether an event loop runs while it is made."""

    def compute() -> tuple[int, bool]:
        if of.a < 0:
            raise KeyboardInterrupt
        return of.a + of.b, asyncio._get_running_loop() is not None

    async def ask() -> Callable[[], tuple[int, bool]]:
        return compute

    return ask()


def test_what_is_computed_last_is_computed_without_an_event_loop() -> None:
    assert computed(1) == asyncio.run(computed.aio(a=1)) == (3, False)
    assert list(inspect.signature(computed).parameters) == ["a", "b"]
    with pytest.raises(KeyboardInterrupt):
        computed(-1)


def test_what_is_wrong_is_said_before_anything_is_awaited() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        computed.aio(1, c=3)  # type: ignore[call-arg,unused-coroutine]


def test_so_many_are_worked_on_together_and_no_more() -> None:
    running, most, done = 0, 0, []

    async def work(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done.append(number)

    asyncio.run(for_each(range(10), work, limit=3))
    assert (most, sorted(done)) == (3, list(range(10)))
