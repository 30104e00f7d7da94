"""Whether the process lives, and whether it should be sent requests."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from gateway.server.exchange import current
from gateway.server.service import Service


class Failed(BaseModel):
    """A model whose engine has failed since it was loaded."""

    model: str
    failures: int
    last: str
    """The last one's error; the log has its traceback."""
    down: bool
    """Whether it serves nobody now; the next request has it try again."""


class Health(BaseModel):
    """One word; and what failed, where something did."""

    status: Literal["live", "ready", "loading", "draining", "failed"]
    failed: list[Failed] = []


class HealthRoutes:
    """The endpoints, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.get("/health/live", response_model_exclude_defaults=True, summary="Lives")(self.live)
        # Clients of llama.cpp's and vLLM's servers ask at /health.
        for path in ("/health", "/health/ready"):
            router.get(
                path,
                response_model_exclude_defaults=True,
                responses={503: {"model": Health}},
                summary="Takes requests",
            )(self.ready)

    async def live(self) -> Health:
        """200 as long as the process answers."""
        return Health(status="live")

    async def ready(self, response: Response) -> Health:
        """200 once the models that were to be loaded are, and until the server is told to end.

        503 also while the engine of a loaded model is down: it failed and found no memory to begin
        anew. One that failed and goes on is named, and the server is ready.
        """
        if self._service.admission.draining:
            response.status_code = 503
            return Health(status="draining")
        if not self._service.ready:
            response.status_code = 503
            return Health(status="loading")
        failed = [
            Failed(model=name, failures=t.count, last=current().hidden(t.last), down=t.down)
            for name, t in self._service.troubles().items()
        ]
        if any(one.down for one in failed):
            response.status_code = 503
            return Health(status="failed", failed=failed)
        return Health(status="ready", failed=failed)
