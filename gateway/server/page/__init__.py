"""GET /: a page for a person with a browser, and Ollama's greeting for everybody else."""

import asyncio
import hashlib
import json
import shlex
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from gateway import __version__
from gateway.models.spec import ModelSpec
from gateway.server.exchange import current
from gateway.server.service import Service

GREETING = "Ollama is running"
"""Clients look for these words to find out whether a server is Ollama's."""

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "page.css").read_text(encoding="utf-8")
_STYLE_DIGEST = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    # No script, no picture, no frame, no form, nothing from anywhere: this one style alone.
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_VARY = {"vary": "Accept, Authorization"}


@dataclass(frozen=True, slots=True)
class _Endpoint:
    method: str
    path: str
    what: str


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    kind: str
    context: str
    state: str
    what: str


class PageRoutes:
    """The endpoint, on a service.

    Args:
        needs_key: models are named to a caller only who has shown a key, those that it may ask.
    """

    def __init__(self, service: Service, *, needs_key: bool) -> None:
        self._service = service
        self._needs_key = needs_key
        environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._template = environment.get_template("page.html.j2")

    def add_to(self, router: APIRouter) -> None:
        for method in ("GET", "HEAD"):
            router.add_api_route("/", self.root, methods=[method], include_in_schema=False)

    async def root(self, request: Request) -> Response:
        """The page where the client asks for HTML by name, as browsers do; else the greeting."""
        if not _wants_page(request.headers.get("accept", "")):
            return PlainTextResponse(GREETING, headers=_VARY)
        # Looks at files, and describes the endpoints when first asked: beside the event loop.
        page = await asyncio.to_thread(self._page, request)
        return HTMLResponse(page, headers=_HEADERS | _VARY)

    def _page(self, request: Request) -> str:
        known = not self._needs_key or current().key is not None
        models = self._service.models() if known else []
        names = [spec.name for spec in models]
        default = self._service.pool.models.default
        first = default if default in names else next(iter(names), "MODEL")
        return self._template.render(
            style=Markup(_STYLE),
            version=__version__,
            greeting=GREETING,
            known=known,
            needs_key=self._needs_key,
            models=[self._shown(spec) for spec in models],
            command=_curl(str(request.base_url), first, needs_key=self._needs_key),
            endpoints=_endpoints(request.app.openapi()),
        )

    def _shown(self, spec: ModelSpec) -> _Model:
        pool = self._service.pool
        state = "on a server" if spec.can.on_a_server else "on disk"
        if spec.name in pool.loaded:
            state = "loaded"
        if spec.name == pool.models.default:
            state += ", default"
        return _Model(spec.name, spec.precision, f"{spec.context_held:,}", state, spec.description)


def _wants_page(accept: str) -> bool:
    """Whether HTML is named: "*/*", which every program sends, does not name it."""
    for part in accept.lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        if kind == "text/html" and not any(_is_zero(each) for each in parameters):
            return True
    return False


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and not value.strip().strip("0.")


def _curl(base: str, model: str, *, needs_key: bool) -> str:
    """A line for a shell of POSIX that asks the model something."""
    message = {"role": "user", "content": "Name three colours."}
    body = json.dumps({"model": model, "messages": [message]}, ensure_ascii=False)
    key = """ -H "Authorization: Bearer $KEY\"""" if needs_key else ""
    url = shlex.quote(f"{base}v1/chat/completions")
    return f"curl {url}{key} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _endpoints(document: dict[str, Any]) -> dict[str, list[_Endpoint]]:
    """By group, in the order of the server's own description; what is always refused is left
    out."""
    found: dict[str, list[_Endpoint]] = {}
    for group, endpoint in _described(document):
        if endpoint.what != "Refused":
            found.setdefault(group, []).append(endpoint)
    return found


def _described(document: dict[str, Any]) -> Iterator[tuple[str, _Endpoint]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            group = str(operation["tags"][0])
            yield group, _Endpoint(method.upper(), path, str(operation["summary"]))
