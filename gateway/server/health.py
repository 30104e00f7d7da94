"""Whether the process lives, and whether it should be sent requests."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from gateway.server.service import Service


class Health(BaseModel):
    """One word."""

    status: Literal["live", "ready", "loading", "draining"]


class HealthRoutes:
    """The endpoints, on a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.add_api_route("/health/live", self.live, response_model=Health, summary="Lives")
        router.add_api_route(
            "/health/ready",
            self.ready,
            response_model=Health,
            responses={503: {"model": Health}},
            summary="Takes requests",
        )

    async def live(self) -> Health:
        """200 as long as the process answers."""
        return Health(status="live")

    async def ready(self, response: Response) -> Health:
        """200 once the models that were to be loaded are, and until the server is told to end."""
        if self._service.admission.draining:
            response.status_code = 503
            return Health(status="draining")
        if not self._service.ready:
            response.status_code = 503
            return Health(status="loading")
        return Health(status="ready")
