"""Work in a task of its own, whose events are read as they come; work that ends with its client.

The task owns every resource of the work: places, models, deadlines are entered and left in one
task, and whoever stops reading ends it.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")

Emit = Callable[[T], None]


class ClientGone(Exception):
    """The client closed the connection before its answer was there."""


async def events_of(produce: Callable[[Emit[T]], Awaitable[None]]) -> AsyncGenerator[T, None]:
    """What `produce` emits; then its error, if it has one. Closing the generator cancels it."""
    events: asyncio.Queue[tuple[T] | None] = asyncio.Queue()

    async def work() -> None:
        try:
            await produce(lambda event: events.put_nowait((event,)))
        finally:
            events.put_nowait(None)

    task = asyncio.create_task(work())
    try:
        while (event := await events.get()) is not None:
            yield event[0]
        await task
    finally:
        await _ended(task)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; cancelled as soon as the client is gone. The body was read before.

    Raises:
        ClientGone: the client closed the connection.
    """
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        await _ended(watch)
        await _ended(task)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait until it is over; its own error was told elsewhere."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
