"""A server process: bound to a socket, told to end by a signal, ending without losing anything."""

import asyncio
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from gateway.backends.pool import ModelPool
from gateway.backends.protocol import Backend, said_of_entry
from gateway.backends.registry import load_backend
from gateway.core.errors import BackendUnavailable, ConfigError
from gateway.models.spec import ModelSpec
from gateway.server.app import create_app, service_of
from gateway.server.service import Service
from gateway.server.settings import Settings

logger = logging.getLogger("gateway.server")


def check_exposure(host: str, settings: Settings) -> None:
    """Make sure that nobody else's machine can ask without a key.

    Raises:
        ConfigError: the host is not this machine alone, and there is no file of keys.
    """
    if settings.keys is None and not _is_loopback(host):
        raise ConfigError(
            f"{host} can be reached from other machines, and no API keys are asked for",
            hint="gateway keys create NAME --keys FILE, then --keys FILE; or --host 127.0.0.1",
        )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one.

    Raises:
        BackendUnavailable: the address is taken or is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, not left at 0: asyncio turns Nagle's algorithm off only where it says
    # TCP, and an answer sent as head and body would else wait 40 ms for the client's delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as exc:
        listener.close()
        raise BackendUnavailable(
            f"{host}:{port}: cannot be listened on: {exc.strerror}", hint="another --port"
        ) from exc
    return listener


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def in_a_thread(app: FastAPI) -> Iterator[socket.socket]:
    """An application behind a free port of this machine, in a thread of this process, for as long
    as the block runs: for tests and measurements, which want to look at both sides.

    Yields:
        The listening socket; `address_of` has its URL.
    """
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        yield listener
    finally:
        server.should_exit = True
        thread.join()


async def serve(
    make_pool: Callable[[], ModelPool],
    settings: Settings,
    listener: socket.socket,
    *,
    preload: Sequence[str] = (),
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal says to end.

    Args:
        make_pool: called within the event loop that the pool then belongs to.
        preload: models to load before the first request.
        on_ready: called when they are loaded.

    Raises:
        ConfigError, BackendError: a model that was to be loaded cannot be.
        StoreError: the file to record in cannot be written, or holds something else.
    """
    app = create_app(make_pool(), settings)
    service = service_of(app)
    try:
        await service.preload(preload)
    except BaseException:
        await service.close()
        raise
    on_ready()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        ws_max_size=settings.limits.body_bytes,
    )
    await _Server(config, service, settings.limits.drain_s).serve([listener])


def load_and_log(spec: ModelSpec, path: Path) -> Backend:
    """`load_backend`, and what the entry is warned of in the log."""
    backend = load_backend(spec, path)
    for said in said_of_entry(backend):
        logger.warning("%s", said)
    return backend


class _Server(uvicorn.Server):
    """Ends in two steps: accepted requests finish while new ones are sent away, then it closes.

    A second signal ends it at once.
    """

    def __init__(self, config: uvicorn.Config, service: Service, drain_s: float) -> None:
        super().__init__(config)
        self._service = service
        self._drain_s = drain_s
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._service.admission.draining or self._loop is None:
            self.should_exit = self.force_exit = True
            return
        self._service.admission.drain()
        self._loop.call_soon_threadsafe(self._start_draining, signal.Signals(sig).name)

    def _start_draining(self, name: str) -> None:
        logger.warning("%s: finishing what was accepted", name)
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._drain_s):
                await self._service.admission.emptied()
        except TimeoutError:
            logger.warning("not everything was finished within %g seconds", self._drain_s)
            self.force_exit = True
        self.should_exit = True


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
