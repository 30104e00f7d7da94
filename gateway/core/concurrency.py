"""Many things worked on, so many at a time; and async work for code that is not async."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, Protocol, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
Out = TypeVar("Out", covariant=True)
Work = Coroutine[Any, Any, T]
"""What is awaited once."""


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


Counting = Callable[[int], AbstractContextManager[Callable[[], None]]]
"""Told how many there are; what its block gives is called after each one."""


def uncounted(_: int) -> AbstractContextManager[Callable[[], None]]:
    """Nobody counts."""
    return nullcontext(lambda: None)


class Call(Protocol[P, Out]):
    """A function that returns when its work is done."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Out:
        """Do the work. Not from async code: there, await `aio`."""
        ...

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Work[Out]:
        """The same work, to be awaited."""
        ...


def blocking(work: Callable[P, Work[Out]]) -> Call[P, Out]:
    """Async work as a function for code that is not, and as it is under the name `aio`.

    What `work` does before it gives its coroutine is done before there is an event loop.
    """

    @wraps(work)
    def wait(*args: P.args, **kwargs: P.kwargs) -> Out:
        _require_no_loop(work.__name__)
        return asyncio.run(work(*args, **kwargs))

    wait.aio = work  # type: ignore[attr-defined]
    return cast(Call[P, Out], wait)


def then_computing(work: Callable[P, Work[Callable[[], Out]]]) -> Call[P, Out]:
    """As `blocking`, of work that ends with computing and gives the function that does it.

    It is called when there is no event loop any more, so that Ctrl-C ends it at once; under the
    name `aio`, in a thread beside the loop.
    """

    @wraps(work)
    def wait(*args: P.args, **kwargs: P.kwargs) -> Out:
        return blocking(work)(*args, **kwargs)()

    async def aio(asked: Work[Callable[[], Out]]) -> Out:
        return await asyncio.to_thread(await asked)

    # Called, not awaited: what `work` does before it gives its coroutine is done by then.
    wait.aio = lambda *args, **kwargs: aio(work(*args, **kwargs))  # type: ignore[attr-defined]
    return cast(Call[P, Out], wait)


def taking(options: Callable[P, T]) -> Callable[[Callable[[T], Out]], Callable[P, Out]]:
    """Work that takes one value of options, called with the fields of them."""

    def made(work: Callable[[T], Out]) -> Callable[P, Out]:
        @wraps(work)
        def with_options(*args: P.args, **kwargs: P.kwargs) -> Out:
            return work(options(*args, **kwargs))

        made_of = signature(options).replace(return_annotation=signature(work).return_annotation)
        with_options.__signature__ = made_of  # type: ignore[attr-defined]
        return with_options

    return made


def _require_no_loop(name: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"an event loop is running here: await {name}.aio(...)")
