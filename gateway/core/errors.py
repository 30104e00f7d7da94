"""Every error a caller can meet.

    GatewayError
    ├── ConfigError            a models.toml, task.toml or template is wrong
    │   ├── UnknownModel       no entry of that name (the known ones are listed)
    │   ├── ModelNotPulled     the entry is known, its file is not on this machine
    │   ├── MissingExtra       a library that only an extra brings is not installed
    │   └── GoTemplateError    a template of Ollama's is wrong, or cannot be rendered here
    ├── DataError              a data file is wrong: which, in which line, what was expected
    ├── RequestError           this request cannot be answered; the next one may be
    │   ├── InvalidRequest     a field is outside its range, or fields contradict
    │   ├── ContextOverflow    the prompt does not fit the context: never cut in silence
    │   ├── NoChatTemplate     chat asked of a model that has no chat template
    │   ├── Unsupported        the backend lacks a capability; never approximated unasked
    │   └── OtherKind          the model is of a kind that does not do this
    ├── BackendError           the model or its server failed
    │   ├── ModelLoadError     the weights cannot be loaded (corrupt, absent)
    │   │   └── ModelTooLarge  it takes more memory than all models together may
    │   └── BackendUnavailable the server does not answer, or the engine is closed
    │       └── BackendTimeout it did not answer in time
    ├── ComparisonRefused      two runs must not be compared, with the reason
    └── StoreError             the run store cannot be read or written

Each carries a `hint`: what to do about it.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class GatewayError(Exception):
    """Base of all errors. `message` says what was wrong and where, `hint` what to do."""

    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(GatewayError):
    """A configuration file is wrong."""


@contextmanager
def located(where: str) -> Iterator[None]:
    """Say of a ConfigError that leaves the block where it was found: a file, a key of it."""
    try:
        yield
    except ConfigError as exc:
        raise ConfigError(f"{where}: {exc.message}", hint=exc.hint) from exc


class UnknownModel(ConfigError):
    """No model entry has this name."""


class ModelNotPulled(ConfigError):
    """The model's file is not on this machine yet."""


class MissingExtra(ConfigError):
    """A library is not installed that one of the package's extras brings. `extra` names it."""

    def __init__(self, message: str, *, extra: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.extra = extra


class GoTemplateError(ConfigError):
    """A template of Ollama's does not parse, fails, or uses what is not rendered here."""


class DataError(GatewayError):
    """A data file is wrong; the message begins with `file:line:` where the line is known."""


class RequestError(GatewayError):
    """This one request cannot be answered."""


class InvalidRequest(RequestError):
    """A field of the request is wrong. `parameter` names it where one field is to blame."""

    def __init__(self, message: str, *, hint: str = "", parameter: str = "") -> None:
        super().__init__(message, hint=hint)
        self.parameter = parameter


class ContextOverflow(RequestError):
    """Prompt and answer do not fit the context.

    Args:
        needed: tokens that were asked for; 0 where a server only says that they are too many.
        available: tokens of the effective context; 0 likewise.
    """

    def __init__(self, needed: int, available: int, *, hint: str = "") -> None:
        super().__init__(
            f"the request needs {needed} tokens of context and the model has {available}"
            if needed
            else "the request needs more tokens than the model's context has",
            hint=hint or "shorten the input or raise context_length in models.toml",
        )
        self.needed = needed
        self.available = available


class NoChatTemplate(RequestError):
    """Messages were sent to a model without a chat template."""


class Unsupported(RequestError):
    """The backend cannot do this. `capability` names what is missing."""

    def __init__(self, capability: str, *, hint: str = "") -> None:
        super().__init__(f"this backend does not support {capability}", hint=hint)
        self.capability = capability


class OtherKind(RequestError):
    """The model is of a kind that does not do this: an encoder generates nothing."""


class BackendError(GatewayError):
    """The model or its server failed."""


class ModelLoadError(BackendError):
    """The weights cannot be loaded."""


class ModelTooLarge(ModelLoadError):
    """The model takes more memory than all models together may. Waiting does not help."""


class BackendUnavailable(BackendError):
    """The backend does not answer; trying again later may help."""

    retryable = True


class BackendTimeout(BackendUnavailable):
    """The server did not answer in time. Asking again at once would only add to its work."""

    retryable = False


class ComparisonRefused(GatewayError):
    """Two runs differ in something that makes their difference meaningless."""


class StoreError(GatewayError):
    """The run store cannot be read or written."""
