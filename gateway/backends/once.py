"""`gateway ask`: one prompt to one model, its answer as it comes."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass

from gateway.backends.pool import ModelPool
from gateway.core.errors import DataError
from gateway.core.types import Completion, GenerationRequest, Message, Sampling
from gateway.models.file import Models


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked."""

    text: str
    system: str = ""
    raw: bool = False
    """The text is read as it is, without a chat template."""


def ask(
    models: Models, name: str, prompt: Prompt, sampling: Sampling, on_text: Callable[[str], None]
) -> Completion:
    """Ask a model once.

    Args:
        on_text: called with each piece of the answer as it comes.

    Raises:
        DataError: there is nothing to ask, or a system prompt for a raw one.
    """
    request = _request(name, prompt, sampling)

    async def answer() -> Completion:
        done: Completion | None = None
        async with ModelPool(models) as pool, pool.lease(name) as backend:
            async for delta in backend.stream(request):
                on_text(delta.text)
                done = delta.completion
        assert done is not None
        return done

    return asyncio.run(answer())


def to_standard_output(text: str) -> None:
    """A piece of the answer, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _request(name: str, prompt: Prompt, sampling: Sampling) -> GenerationRequest:
    if not prompt.text.strip():
        raise DataError("there is no prompt", hint='gateway ask "some text"')
    if not prompt.raw:
        system = (Message("system", prompt.system),) if prompt.system else ()
        turns = (*system, Message("user", prompt.text))
        return GenerationRequest(name, turns, sampling=sampling)
    if prompt.system:
        raise DataError("a raw prompt has no system prompt", hint="write it into the prompt")
    return GenerationRequest(name, prompt=prompt.text, sampling=sampling)
