"""One model, open while a block runs: `gateway.open_model`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Concatenate, Generic, ParamSpec, Self, TypeVar, cast

from gateway.backends.pool import ModelPool
from gateway.backends.protocol import Backend
from gateway.backends.registry import load_models
from gateway.core.concurrency import Call, Work
from gateway.core.errors import DataError
from gateway.core.types import Completion, Delta, GenerationRequest, LabelScores, Message, Sampling

P = ParamSpec("P")
Out = TypeVar("Out")

Prompt = str | Sequence[Message]
"""What a user says, or a whole conversation."""


class _Method(Generic[P, Out]):
    """An async method of a model, which others call and wait for; `aio` is the method itself."""

    def __init__(self, work: Callable[Concatenate["OpenModel", P], Work[Out]]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    def __get__(self, model: "OpenModel", _: type) -> Call[P, Out]:
        def wait(*args: P.args, **kwargs: P.kwargs) -> Out:
            return model._finish(self._work(model, *args, **kwargs))

        wait.__doc__ = self.__doc__
        wait.aio = partial(self._work, model)  # type: ignore[attr-defined]
        return cast(Call[P, Out], wait)


class OpenModel:
    """A model that is loaded while a `with` or an `async with` block runs.

    In the latter, methods are awaited by the name `aio`: `await model.generate.aio("...")`.

    Args:
        name: an entry, ollama:NAME, or ENTRY+ADAPTER; empty: the default entry.
        models_file: a models.toml whose entries add to the shipped ones.
        parallel: most sequences that run together; absent: what the entry says. One takes less
            memory and is loaded sooner.

    Raises:
        ConfigError: there is no such entry.
        ModelNotPulled, BackendError: at the beginning of the block.
    """

    backend: Backend
    """For all that a loaded model can do; its methods are async."""

    def __init__(
        self, name: str = "", models_file: Path | None = None, *, parallel: int | None = None
    ) -> None:
        models = load_models(models_file).serving([name] if name else [])
        self._models = models if parallel is None else models.at_most(parallel)
        self.spec = self._models.get(name or self._models.default)
        self._runner: asyncio.Runner | None = None

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        try:
            return self._finish(self.__aenter__())
        except BaseException:
            self._runner.close()
            raise

    def __exit__(self, *_: object) -> None:
        assert self._runner is not None
        with self._runner:
            self._finish(self.__aexit__())

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(ModelPool(self._models))
            self.backend = await stack.enter_async_context(pool.lease(self.spec.name))
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @_Method
    async def generate(
        self,
        prompt: Prompt,
        sampling: Sampling | None = None,
        *,
        system: str = "",
        raw: bool = False,
        on_text: Callable[[str], None] = lambda _: None,
    ) -> Completion:
        """The model's answer.

        Args:
            sampling: absent: greedy.
            system: a system prompt, before what a user says.
            raw: read the text as it is, without a chat template.
            on_text: called with each piece of the answer as it comes.

        Raises:
            DataError: there is nothing to ask, or a system prompt for a raw one.
            RequestError, BackendError: as `Backend.generate`.
        """
        request = _request(self.spec.name, prompt, sampling or Sampling(), system=system, raw=raw)
        return await _streamed(self.backend.stream(request), on_text)

    @_Method
    async def score_labels(
        self, prompt: Prompt, labels: Sequence[str], *, system: str = "", raw: bool = False
    ) -> LabelScores:
        """ln P(the answer is exactly this label, and ends) for each label. Raises as `generate`."""
        request = _request(self.spec.name, prompt, Sampling(), system=system, raw=raw)
        return await self.backend.score_labels(request, labels)

    def _finish(self, work: Work[Out]) -> Out:
        if self._runner is None:
            work.close()
            raise RuntimeError("the model was not opened with `with`: await METHOD.aio(...)")
        return self._runner.run(work)


open_model = OpenModel


async def _streamed(pieces: AsyncIterator[Delta], on_text: Callable[[str], None]) -> Completion:
    done: Completion | None = None
    async for delta in pieces:
        on_text(delta.text)
        done = delta.completion
    assert done is not None
    return done


def _request(
    model: str, prompt: Prompt, sampling: Sampling, *, system: str, raw: bool
) -> GenerationRequest:
    if not prompt or (isinstance(prompt, str) and not prompt.strip()):
        raise DataError("there is no prompt", hint='gateway ask "some text"')
    if raw and (system or not isinstance(prompt, str)):
        raise DataError("a raw prompt has no system prompt", hint="write it into the prompt")
    if raw and isinstance(prompt, str):
        return GenerationRequest(model, prompt=prompt, sampling=sampling)
    first = (Message("system", system),) if system else ()
    turns = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
    return GenerationRequest(model, (*first, *turns), sampling=sampling)
