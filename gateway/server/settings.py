"""What an operator decides about a server."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may cost the others."""

    body_bytes: int = 4 << 20
    """Most bytes of a request's body."""
    prompt_chars: int = 1_000_000
    """Most characters of a prompt; longer ones are refused before they are tokenized."""
    running: int = 32
    """Requests that are worked on together."""
    waiting: int = 256
    """Requests that wait for one of those places; the next one is sent away."""
    deadline_s: float = 600.0
    """Seconds from a request's arrival to its end, waiting included."""
    upload_s: float = 30.0
    """Seconds in which a request's whole body has to arrive."""
    drain_s: float = 60.0
    """Seconds that accepted requests have to finish once the server is told to end."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it. The defaults serve a person on one machine."""

    limits: Limits = field(default_factory=Limits)
    keys: Path | None = None
    """File of API keys; None: nobody has to show one."""
    hosts: tuple[str, ...] = ()
    """Names under which the server may be asked, besides localhost and addresses."""
    origins: tuple[str, ...] = ()
    """Web origins whose pages may ask besides those of this machine; "*": all. "none" among them:
    not even this machine's. Where keys are asked for, only those named here."""
    prompts: Path | None = None
    """Folder of tasks for /v1/classify; None: the shipped one, or the environment's."""
    log_requests: bool = True
    """One line of JSON a request on standard error."""
    log_prompts: bool = False
    """Requests' bodies in that line too."""
    record: Path | None = None
    """File in which every generation is kept, prompts and answers; None: nothing is."""
