"""Writes generations into a recording, beside the event loop and before their answers are sent."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.backends.protocol import Backend
from gateway.core.errors import StoreError
from gateway.core.recording import Ending, Recorded, Recording
from gateway.core.types import Completion, GenerationRequest
from gateway.server.http_errors import failure_of

logger = logging.getLogger("gateway.server")


class Open:
    """A generation that goes on, and that nobody records."""

    async def answer(self, completion: Completion) -> None:
        """Take its end."""


@asynccontextmanager
async def unrecorded() -> AsyncIterator[Open]:
    """A block in which a generation goes on without being recorded."""
    yield Open()


@dataclass(slots=True)
class _Recorded(Open):
    """A generation whose end is recorded."""

    recorder: "Recorder"
    backend: Backend
    exchange: str
    request: GenerationRequest
    asked: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    answered: bool = False

    async def answer(self, completion: Completion) -> None:
        """Commit the answer; it may be sent when this returns.

        Raises:
            StoreError: it cannot be written, so that it must not be sent either.
        """
        written = self.close(Ending.ANSWERED, completion=completion)
        self.answered = True
        await _done(written)

    def close(
        self, ending: Ending, *, completion: Completion | None = None, error: str = ""
    ) -> "Future[None]":
        """Hand the end to the thread that writes."""
        fingerprint = self.backend.fingerprint
        recorded = Recorded(
            self.asked, self.exchange, fingerprint, self.request, ending, completion, error
        )
        return self.recorder.write(self.backend, recorded)


class Recorder:
    """Owns a recording, and the one thread that writes to it. Closed with the server."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._thread = ThreadPoolExecutor(1, "recorder")
        self._identities: set[str] = set()

    @asynccontextmanager
    async def open(
        self, exchange: str, backend: Backend, request: GenerationRequest
    ) -> AsyncIterator[Open]:
        """Record how the block ends: answered by its `answer`, failed or cancelled by leaving.

        Raises:
            StoreError: the end cannot be written.
        """
        opened = _Recorded(self, backend, exchange, request)
        try:
            yield opened
        except Exception as error:
            if not opened.answered:
                told = failure_of(error)
                reason = f"{told.code or told.status}: {told.message}"
                await _done(opened.close(Ending.FAILED, error=reason))
            raise
        except BaseException:  # cancelled, or a stream that nobody reads on
            if not opened.answered:
                # Not waited for: whoever is cancelled is to end now.
                opened.close(Ending.CANCELLED)
            raise

    def write(self, backend: Backend, recorded: Recorded) -> "Future[None]":
        """Have a generation written after those before it."""
        written = self._thread.submit(self._write, backend, recorded)
        written.add_done_callback(_tell)
        return written

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._thread.shutdown(wait=True)
        self._recording.close()

    def _write(self, backend: Backend, recorded: Recorded) -> None:
        if backend.fingerprint not in self._identities:
            self._recording.add_identity(backend.fingerprint, backend.identity)
            self._identities.add(backend.fingerprint)
        self._recording.add(recorded)


async def _done(written: "Future[None]") -> None:
    # Shielded: what was handed to the thread is written, whoever is cancelled meanwhile.
    await asyncio.shield(asyncio.wrap_future(written))


def _tell(written: "Future[None]") -> None:
    """A failure to write is in the log, also where nobody waits for it."""
    if not written.cancelled() and isinstance(error := written.exception(), StoreError):
        logger.error("the recording cannot be written: %s", error)
