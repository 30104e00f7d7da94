"""Which tokens of which sequences a pass holds; what attention and cache need to know of it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Attending = Literal["blocks", "kernel", "sdpa"]
"""How a pass attends; see `attention`."""


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens of one sequence in a pass."""

    sequence: int
    start: int
    """Where in the sequence's memory the first of them lies."""
    first: int
    """Row of the pass."""
    count: int


class Running(threading.local):
    """The pass that this thread computes; a model's layers find it here."""

    spans: Sequence[Span] = ()
    attending: Attending = "blocks"
    tiles: Any = None
    """For "kernel": the spans as a tensor on the card (see `kernel.tiles_of`)."""


running = Running()
