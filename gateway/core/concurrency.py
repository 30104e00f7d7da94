"""Many things worked on, so many at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def for_each(
    things: Iterable[T], work: Callable[[T], Awaitable[None]], *, limit: int
) -> None:
    """Work on every thing, in their order, at most so many at a time.

    Raises what `work` raises first; what else runs is cancelled.
    """
    waiting = iter(things)

    async def worker() -> None:
        for thing in waiting:
            await work(thing)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(worker())
    except ExceptionGroup as several:
        # Workers meet the same failure together; one of it is what the caller has to know.
        raise several.exceptions[0] from None
