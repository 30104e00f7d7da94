"""One Ollama server over HTTP, by its official client, with the gateway's errors.

`/api/generate` and `/api/chat` are sent here field by field, because the client's own methods
(ollama 0.6) know neither `truncate` nor `shift` and drop the bytes of tokens from the answers.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import ollama

from gateway.backends.ollama.failures import translated
from gateway.backends.ollama.wire import (
    Embedded,
    Line,
    Listed,
    Models,
    Processes,
    Progress,
    Running,
    Shown,
    Version,
    WirePart,
)
from gateway.core.errors import BackendError, BackendUnavailable, ModelNotPulled
from gateway.models.environment import ollama_host, ollama_key

_CONNECT_S, _ANSWER_S = 5.0, 600.0
"""Seconds until somebody answers at all, and until the next bytes come: a large model is loaded
before its first answer."""

_ABSENT = 404
_MOST_LINE = 1 << 24
"""Bytes; one with 20 alternatives of a token has some 2,000."""

_Shape = TypeVar("_Shape", bound=WirePart)


class _Client(ollama.AsyncClient):
    """The official client with answers in shapes of ours."""

    async def one(self, shape: type[_Shape], method: str, path: str, body: Any = None) -> _Shape:
        return await self._request(shape, method, path, json=body)

    async def has(self, path: str) -> bool:
        try:
            await self._request_raw("HEAD", path)  # type: ignore[no-untyped-call]
        except ollama.ResponseError as error:
            if error.status_code == _ABSENT:
                return False
            raise
        return True

    async def lines(self, shape: type[_Shape], path: str, body: Any) -> AsyncGenerator[_Shape]:
        async with self._client.stream("POST", path, json=body) as response:
            if not response.is_success:
                await response.aread()
                raise ollama.ResponseError(response.text, response.status_code)
            async with aclosing(_split(response)) as lines:
                async for line in lines:
                    said = json.loads(line)
                    if error := said.get("error"):
                        raise ollama.ResponseError(json.dumps({"error": error}))
                    yield shape(**said)


async def _split(response: httpx.Response) -> AsyncGenerator[bytes]:
    """The lines of a stream. httpx ends them at characters too, such as U+0085, that may stand in
    the texts of an answer."""
    begun = b""
    async for data in response.aiter_bytes():
        *whole, begun = (begun + data).split(b"\n")
        if len(begun) > _MOST_LINE:
            raise ValueError(f"a line of more than {_MOST_LINE} bytes")
        for line in whole:
            yield line
    if begun:
        yield begun


class Server:
    """Where the models are.

    Connections are not kept: one that a restarted server has closed would fail the next request,
    and to open another on the same machine takes a fraction of a millisecond.

    Args:
        host: URL without a path.
        key: shown as a bearer token; empty: none.
        answer_s: seconds to wait for the next bytes of an answer.
    """

    def __init__(self, host: str, *, key: str = "", answer_s: float = _ANSWER_S) -> None:
        self.host = host
        self._key = key
        self._timeout = httpx.Timeout(answer_s, connect=_CONNECT_S)
        self._client: _Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def version(self) -> str:
        """As it calls itself."""
        with translated(self.host, ""):
            return (await self._http().one(Version, "GET", "/api/version")).version

    async def models(self) -> list[Listed]:
        """Those that the server has."""
        with translated(self.host, ""):
            return (await self._http().one(Models, "GET", "/api/tags")).models

    async def model(self, name: str) -> Listed:
        """The one that a name means.

        Raises:
            ModelNotPulled: the server has none of that name.
        """
        found = await self.models()
        for each in found:
            if same_name(each.name, name):
                return each
        names = ", ".join(each.name for each in found) or "none"
        raise ModelNotPulled(
            f"{name} is not on the Ollama server at {self.host}",
            hint=f"gateway models pull ollama:{name}; there are: {names}",
        )

    async def running(self) -> list[Running]:
        """Those in its memory."""
        with translated(self.host, ""):
            return (await self._http().one(Processes, "GET", "/api/ps")).models

    async def show(self, model: str, *, verbose: bool = False) -> Shown:
        """What it knows of a model.

        Args:
            verbose: with the metadata's arrays, such as the vocabulary: megabytes.
        """
        body = {"model": model, "verbose": verbose}
        with translated(self.host, model):
            return await self._http().one(Shown, "POST", "/api/show", body)

    async def load(self, model: str, options: Mapping[str, Any]) -> None:
        """Bring a model into memory with these options."""
        await self._keep(model, {"options": dict(options)})

    async def unload(self, model: str) -> None:
        """Take it out of memory; with it goes what it has cached."""
        await self._keep(model, {"keep_alive": 0})

    async def _keep(self, model: str, more: Mapping[str, Any]) -> None:
        body = {"model": model, "stream": False, **more}
        with translated(self.host, model):
            done = await self._http().one(Line, "POST", "/api/generate", body)
        if done.done_reason not in ("load", "unload"):
            raise BackendError(f"{self.host} did not say that {model} was loaded or unloaded")

    async def answer(
        self, path: Literal["/api/generate", "/api/chat"], body: Mapping[str, Any]
    ) -> AsyncGenerator[Line]:
        """The lines of a generation; the last one is `done`.

        Raises:
            BackendUnavailable: also where the stream ends before that.
        """
        done = False
        asked = {**body, "stream": True}
        async with aclosing(self._lines(Line, str(body["model"]), path, asked)) as lines:
            async for line in lines:
                done = line.done
                yield line
        if not done:
            raise BackendUnavailable(
                f"the Ollama server at {self.host} ended its answer in the middle"
            )

    async def embed(self, model: str, texts: Sequence[str], options: Mapping[str, Any]) -> Embedded:
        """A vector a text; a text that is too long is an error, not cut."""
        body = {
            "model": model,
            "input": list(texts),
            "truncate": False,
            "options": dict(options),
        }
        with translated(self.host, model):
            return await self._http().one(Embedded, "POST", "/api/embed", body)

    def pull(self, model: str) -> AsyncGenerator[Progress]:
        """Have the server fetch a model from its registry."""
        return self._lines(Progress, "", "/api/pull", {"model": model})

    def create(self, model: str, **fields: Any) -> AsyncGenerator[Progress]:
        """Make a model of others or of uploaded files.

        Args:
            fields: those of POST /api/create, such as `from`, `files`, `template`, `parameters`.
        """
        return self._lines(Progress, "", "/api/create", {"model": model, **fields})

    async def has_file(self, digest: str) -> bool:
        """Whether it was sent before.

        Args:
            digest: "sha256:" and 64 hexadecimal digits.
        """
        with translated(self.host, ""):
            return await self._http().has(f"/api/blobs/{digest}")

    async def upload(self, file: Path) -> str:
        """Send a file, for `create`; returns its digest. One that is there is sent again."""
        with translated(self.host, ""):
            return str(await self._http().create_blob(file))

    async def delete(self, model: str) -> None:
        """Have the server forget a model."""
        with translated(self.host, model):
            await self._http().delete(model)

    async def _lines(
        self, shape: type[_Shape], model: str, path: str, body: Mapping[str, Any]
    ) -> AsyncGenerator[_Shape]:
        with translated(self.host, model):
            async with aclosing(self._http().lines(shape, path, body)) as lines:
                async for line in lines:
                    yield line

    def _http(self) -> _Client:
        """The client of the running event loop: it cannot be shared between two."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop, self._client = loop, self._made()
        return self._client

    def _made(self) -> _Client:
        made = _Client(
            self.host,
            timeout=self._timeout,
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
        )
        # The client takes OLLAMA_API_KEY by itself, whatever host it talks to.
        made._client.headers.pop("authorization", None)
        if self._key:
            made._client.headers["authorization"] = f"Bearer {self._key}"
        return made


def server_at(host: str = "") -> Server:
    """The server at a URL, or, without one, that of OLLAMA_HOST, with the key that is its own."""
    found = host or ollama_host()
    return Server(found, key=ollama_key(found))


def same_name(one: str, other: str) -> bool:
    """Whether two names mean one model: `latest` is the tag of a name without one."""
    return one.removesuffix(":latest") == other.removesuffix(":latest")
