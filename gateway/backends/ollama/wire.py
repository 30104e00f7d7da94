"""What an Ollama server says, as far as it is read. Unknown fields are passed over: every version
adds some. Shapes: the recorded exchanges of version 0.33, and Ollama's `api/types.go`.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class WirePart(BaseModel):
    """WirePart of an answer."""

    model_config = ConfigDict(protected_namespaces=())


class TokenEntry(WirePart):
    """A token and its natural log-probability, from before the mask of a format."""

    token: str
    logprob: float
    octets: list[int] | None = Field(default=None, alias="bytes")
    top_logprobs: "list[TokenEntry] | None" = None

    @property
    def data(self) -> bytes:
        """The token's bytes; empty for a control token."""
        return self.token.encode() if self.octets is None else bytes(self.octets)


class ChatText(WirePart):
    """The message of a line of /api/chat."""

    content: str = ""
    thinking: str = ""


class Line(WirePart):
    """One line of a generation; the last one is `done` and has the counts."""

    response: str = ""
    message: ChatText | None = None
    done: bool = False
    done_reason: str = ""
    logprobs: list[TokenEntry] | None = None
    prompt_eval_count: int = 0
    """Tokens of the prompt, those that were cached included."""
    prompt_eval_duration: int = 0
    """Nanoseconds, as all durations."""
    eval_count: int = 0
    """Tokens of the answer, with the one that ended it."""
    eval_duration: int = 0
    load_duration: int = 0

    @property
    def text(self) -> str:
        return self.response if self.message is None else self.message.content

    @property
    def thought(self) -> str:
        return "" if self.message is None else self.message.thinking


class Version(WirePart):
    """Of the server."""

    version: str


class Details(WirePart):
    """What kind of model it is."""

    family: str = ""
    parameter_size: str = ""
    quantization_level: str = ""


class Listed(WirePart):
    """A model that the server has."""

    name: str
    digest: str
    """SHA-256 of its manifest."""
    size: int = 0
    details: Details = Details()


class Models(WirePart):
    """All of them."""

    models: list[Listed]


class Running(WirePart):
    """A model in the server's memory."""

    name: str
    digest: str
    context_length: int = 0
    """Tokens, the effective ones."""


class Processes(WirePart):
    """All of them."""

    models: list[Running]


class Shown(WirePart):
    """What the server knows of a model."""

    modelfile: str = ""
    template: str = ""
    """In Go's language."""
    parameters: str = ""
    system: str = ""
    messages: list[dict[str, Any]] = Field(default_factory=list)
    """Turns that the Modelfile puts before every conversation."""
    details: Details = Details()
    model_info: dict[str, Any] = Field(default_factory=dict)
    """The file's metadata, without the chat template; arrays only when asked for."""
    capabilities: list[str] = Field(default_factory=list)

    def number(self, key: str) -> int:
        """A number of the architecture's metadata; 0 where it is absent."""
        found = self.model_info.get(f"{self.model_info.get('general.architecture')}.{key}")
        return found if isinstance(found, int) else 0


class Embedded(WirePart):
    """Vectors of unit length, one a text."""

    embeddings: list[list[float]]
    prompt_eval_count: int = 0


class Progress(WirePart):
    """One line of a pull or a creation."""

    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0
