"""Endpoints with which Ollama's clients change what models there are: refused, with what to do."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter

from gateway.server.failures import Forbidden

_REFUSED = {
    ("POST", "/pull"): "models are pulled where the server runs: gateway models pull NAME",
    ("POST", "/push"): "models are not sent anywhere",
    ("POST", "/create"): "models are entries of models.toml",
    ("POST", "/copy"): "models are entries of models.toml",
    ("DELETE", "/delete"): "models are entries of models.toml",
    ("HEAD", "/blobs/{digest}"): "files are not taken from clients",
    ("POST", "/blobs/{digest}"): "files are not taken from clients",
}


def add_to(router: APIRouter) -> None:
    """One route for each; it reads no body."""
    for (method, path), reason in _REFUSED.items():
        router.add_api_route(
            path,
            _refusing(path, reason),
            methods=[method],
            include_in_schema="{" not in path,
            status_code=403,
            summary="Refused",
            name=f"refuse{path.split('/{')[0].replace('/', '_')}_{method.lower()}",
        )


def _refusing(path: str, reason: str) -> Callable[[], Awaitable[None]]:
    async def refuse() -> None:
        """This server's models are its operator's; clients do not change them."""
        raise Forbidden(f"/api{path} is not enabled on this server", hint=reason)

    return refuse
