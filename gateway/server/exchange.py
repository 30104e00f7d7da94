"""One request and its answer, as the log and the metrics see them."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from gateway.core.types import Completion
from gateway.server.keys import ApiKey


@dataclass(slots=True)
class Exchange:
    """Filled in while the request is worked on; read when it is over."""

    id: str
    method: str
    path: str
    hidden: Callable[[str], str] = str
    """From an error's text to what its client may read of it: without folders of this machine."""
    begun: float = field(default_factory=time.perf_counter)
    key: ApiKey | None = None
    """Whose request it is; None where nobody has to show a key."""
    route: str = ""
    """The path as the code writes it, so that metrics have few labels."""
    model: str = ""
    adapter: str = ""
    status: int = 0
    error: str = ""
    """Code of the failure, also of one inside a stream."""
    waited_s: float = 0.0
    """Before the request had a place and its model was loaded."""
    first_token_s: float | None = None
    """From arrival to the first token."""
    per_token_s: list[float] = field(default_factory=list)
    """Of each completion, its mean seconds a token after the first."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    finish_reasons: list[str] = field(default_factory=list)
    calls_left_out: dict[int, int] = field(default_factory=dict)
    """Of each answer, how many calls were written behind the only one that was asked for."""
    parameters: dict[str, str] = field(default_factory=dict)
    """What the wire format calls a field of the gateway's own request."""
    body: str = ""
    """Only where the log may hold prompts."""

    @property
    def seconds(self) -> float:
        """Since the request arrived."""
        return time.perf_counter() - self.begun

    def note(self, completion: Completion) -> None:
        """Count a finished generation."""
        times = completion.timings
        first = self.waited_s + times.queue_s + times.prefill_s
        self.first_token_s = first if self.first_token_s is None else min(self.first_token_s, first)
        if (more := completion.usage.completion_tokens - 1) > 0:
            self.per_token_s.append(times.decode_s / more)
        self.prompt_tokens += completion.usage.prompt_tokens
        self.cached_tokens += times.cached_tokens
        self.completion_tokens += completion.usage.completion_tokens
        self.finish_reasons.append(completion.finish_reason)


_current: ContextVar[Exchange] = ContextVar("exchange")


def current() -> Exchange:
    """The exchange that this task works for.

    Raises:
        LookupError: none; the outermost middleware begins one for every request.
    """
    return _current.get()


def begin(exchange: Exchange) -> None:
    """Make it the current one of this task and of those that it starts."""
    _current.set(exchange)
