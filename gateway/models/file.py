"""modelfiles/models.toml -> `ModelSpec`.

Entries come from the file that ships with the package and from the user's own, where an entry of
the same name replaces the shipped one."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from gateway.core.errors import ConfigError, UnknownModel
from gateway.models import modelfile, ollama_store
from gateway.models.adapters.names import EXPORTED, folder_of
from gateway.models.environment import adapters_root, from_environment, own_models, shipped
from gateway.models.pinned import parse_pinned
from gateway.models.spec import (
    ENTRY_NAME,
    ON_OLLAMA,
    WITH,
    Attention,
    Determinism,
    Dtype,
    HubSource,
    Kernels,
    ModelSpec,
    OllamaSource,
    PathSource,
    PickleWords,
    PypiSource,
    Quantize,
    Route,
    Source,
)

_SHA256 = r"^[0-9a-f]{64}$"


class _Pypi(BaseModel):
    model_config = ConfigDict(extra="forbid")
    pypi: list[str] = Field(min_length=1)
    parts: list[str] = Field(min_length=1)


class _Hub(BaseModel):
    model_config = ConfigDict(extra="forbid")
    hub: str
    file: str = ""
    revision: str = "main"


class _Path(BaseModel):
    model_config = ConfigDict(extra="forbid")
    path: str


class _Ollama(BaseModel):
    model_config = ConfigDict(extra="forbid")
    ollama: str


class _Modelfile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    modelfile: str


_SERVER_ONLY = {"host", "route"}


_TORCH_ONLY = {"dtype", "device", "quantize", "adapter_merged", "adapter_pickle"}


_CARD_KEYS = {"gpu_layers", "main_gpu", "tensor_split"}


_LLAMA_ONLY = {"attention", "adapter_scale", "batch_tokens", *_CARD_KEYS}


_IN_PROCESS_ONLY = {
    *("sha256", "adapter", "adapter_scale", "deterministic", "attention", "batch_tokens"),
    *_CARD_KEYS,
}


_KINDS = ("path", "hub", "pypi", "ollama", "modelfile")


def _kind(source: object) -> str:
    """Which of the kinds of source is meant, by the key that only it has."""
    return next((k for k in _KINDS if isinstance(source, Mapping) and k in source), "")


_AnySource = Annotated[
    Annotated[_Path, Tag("path")]
    | Annotated[_Hub, Tag("hub")]
    | Annotated[_Pypi, Tag("pypi")]
    | Annotated[_Ollama, Tag("ollama")]
    | Annotated[_Modelfile, Tag("modelfile")],
    Discriminator(
        _kind,
        custom_error_type="source",
        custom_error_message=f"a source has one of the keys {', '.join(_KINDS)}",
    ),
]


_Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Entry(BaseModel):
    """An entry as it is written; keys that are not known are an error."""

    model_config = ConfigDict(extra="forbid")
    source: _AnySource
    backend: Literal["llama_cpp", "transformers", "ollama", "fake"] = "llama_cpp"
    sha256: Annotated[str, Field(pattern=_SHA256)] | None = None
    description: str = ""
    license: str = ""
    quantization: str = ""
    context_length: int = Field(default=4096, ge=32, le=1 << 24)
    chat_template: str = ""
    end_of_turn: str = ""
    parallel: int = Field(default=4, ge=1, le=256)
    threads: int = Field(default=0, ge=0, le=1024)
    batch_tokens: int = Field(default=128, ge=32, le=8192)
    adapter: str | None = None
    adapter_scale: float = Field(default=1.0, ge=-100, le=100, allow_inf_nan=False)
    deterministic: Determinism = "bitwise"
    attention: Attention = "plain"
    gpu_layers: Literal["auto"] | Annotated[int, Field(ge=0, le=10_000)] = 0
    main_gpu: int = Field(default=0, ge=0, le=63)
    tensor_split: Annotated[tuple[_Share, ...], Field(max_length=64)] = ()
    dtype: Dtype = "float32"
    adapter_merged: bool = False
    adapter_pickle: PickleWords = ""
    quantize: Quantize = ""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?)$")] = "cpu"
    host: Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+$")] = ""
    route: Route | None = None

    @model_validator(mode="after")
    def _keys_are_the_backend_s(self) -> Self:
        if self.backend != "transformers":
            if wrong := sorted(_TORCH_ONLY & self.model_fields_set):
                raise ValueError(f'{", ".join(wrong)}: only with backend = "transformers"')
        elif wrong := sorted(_LLAMA_ONLY & self.model_fields_set):
            raise ValueError(f'{", ".join(wrong)}: only with backend = "llama_cpp"')
        if self.backend != "ollama":
            if wrong := sorted(_SERVER_ONLY & self.model_fields_set):
                raise ValueError(f'{", ".join(wrong)}: only with backend = "ollama"')
        elif not isinstance(self.source, _Ollama):
            raise ValueError('backend = "ollama" has a source { ollama = "NAME" }')
        elif wrong := sorted(_IN_PROCESS_ONLY & self.model_fields_set):
            raise ValueError(f"{', '.join(wrong)}: decided by the Ollama server, not here")
        return self

    @model_validator(mode="after")
    def _weights_are_what_the_backend_reads(self) -> Self:
        if isinstance(self.source, _Hub) and not self.source.file:
            if self.backend != "transformers":
                raise ValueError("source.file: which file of the repository")
            if self.sha256:
                raise ValueError("sha256: of a file, and the source is a whole repository")
        is_gguf = isinstance(self.source, _Pypi | _Ollama) or (
            isinstance(self.source, _Hub) and self.source.file.endswith(".gguf")
        )
        if self.quantize and is_gguf:
            raise ValueError("quantize: a GGUF is quantized already; it is for safetensors")
        if self.adapter_merged and not self.adapter:
            raise ValueError("adapter_merged: there is no adapter to merge")
        if self.adapter_merged and self.quantize:
            raise ValueError("adapter_merged: merged into 4 bits, an adapter would be rounded away")
        return self

    @model_validator(mode="after")
    def _one_at_a_time_on_a_server(self) -> Self:
        """Where requests that run together change each other, that is asked for, not a default."""
        if self.backend == "ollama" and "parallel" not in self.model_fields_set:
            self.parallel = 1
        return self

    @model_validator(mode="after")
    def _attention_is_settled(self) -> Self:
        if self.attention == "flash" and self.deterministic == "off":
            raise ValueError(
                'attention = "flash" is for deterministic = "bitwise": '
                'with "off" the library chooses'
            )
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    default: str | None = None
    kernels: Kernels | None = None
    models: dict[Annotated[str, Field(pattern=ENTRY_NAME)], _Entry] = {}


@dataclass(frozen=True, slots=True)
class Models:
    """All known entries."""

    specs: Mapping[str, ModelSpec]
    default: str

    def serving(self, names: Iterable[str]) -> "Models":
        """These and those that the names make: "ollama:NAME" a model of the Ollama server,
        "ENTRY+ADAPTER" an entry with an adapter of `adapters_root`.

        Raises:
            ConfigError: such a name is none of a model, there is no such adapter, or the entry
                takes none.
            UnknownModel: no entry has the name before the "+".
        """
        new = [name for name in names if name not in self.specs]
        made = {name: self._adapted(name) for name in new if WITH in name}
        made |= {name: _on_ollama(name) for name in new if _is_on_ollama(name)}
        return replace(self, specs={**self.specs, **made})

    def _adapted(self, name: str) -> ModelSpec:
        entry, _, adapter = name.partition(WITH)
        spec = self.serving([entry]).get(entry)
        if spec.backend not in ("transformers", "llama_cpp"):
            raise ConfigError(
                f"{name}: an adapter is run in process, and {entry} has the backend {spec.backend}"
            )
        if spec.adapter is not None:
            raise ConfigError(f"{name}: {entry} has an adapter already: {spec.adapter}")
        folder = folder_of(adapters_root(), adapter)
        if spec.backend == "transformers":
            return replace(spec, name=name, adapter=folder)
        if not (folder / EXPORTED).is_file():
            raise ConfigError(
                f"{name}: {folder} holds no {EXPORTED}, which llama.cpp reads",
                hint=f"gateway adapters export {adapter} --base {entry}",
            )
        return replace(spec, name=name, adapter=folder / EXPORTED)

    def get(self, name: str) -> ModelSpec:
        """The entry of that name.

        Raises:
            UnknownModel: there is none; never answered by another.
        """
        if name not in self.specs:
            raise UnknownModel(
                f"no model is called {name!r}", hint=f"known: {', '.join(sorted(self.specs))}"
            )
        return self.specs[name]


def load_models(user_file: Path | None = None) -> Models:
    """The shipped entries and the user's.

    Args:
        user_file: instead of the user's default file; it must exist.

    Raises:
        ConfigError: a file does not parse, or a key is unknown or out of range.
    """
    specs, written = _read(shipped("modelfiles") / "models.toml")
    default, kernels = written.default, written.kernels
    wanted = user_file or from_environment("GATEWAY_MODELS")
    own = wanted or own_models()
    if own.is_file():
        more, written = _read(own)
        specs |= more
        default, kernels = written.default or default, written.kernels or kernels
    elif wanted:
        raise ConfigError(f"{own}: no such file")
    if default not in specs:
        raise ConfigError(f"{own}: the default model {default!r} has no entry")
    if kernels:
        specs = {name: replace(spec, kernels=kernels) for name, spec in specs.items()}
    return Models(specs, default)


def _is_on_ollama(name: str) -> bool:
    return name.startswith(ON_OLLAMA) and WITH not in name


def _on_ollama(name: str) -> ModelSpec:
    model = name.removeprefix(ON_OLLAMA)
    ollama_store.parts_of(model)
    return ModelSpec(name, OllamaSource(model), backend="ollama", parallel=1, origin="its name")


def _read(path: Path) -> tuple[dict[str, ModelSpec], _File]:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        parsed = _File.model_validate(_inherit(raw, path))
    except OSError as exc:
        raise ConfigError(f"{path}: can not be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: no valid TOML: {exc}") from exc
    except ValidationError as exc:
        raise ConfigError(f"{path}: {_first_problem(exc)}") from exc
    specs = {name: _spec(name, entry, path) for name, entry in parsed.models.items()}
    return specs, parsed


def _inherit(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """Give an entry with `like = "other"` that entry's keys wherever it has none of its own."""
    entries = raw.get("models")
    if not isinstance(entries, dict):
        return raw
    whole = {}
    for name, entry in entries.items():
        if isinstance(entry, dict) and "like" in entry:
            other = entries.get(entry["like"])
            if not isinstance(other, dict) or "like" in other:
                raise ConfigError(
                    f"{path}: models.{name}: like = {entry['like']!r} names no entry of this file "
                    "that stands on its own"
                )
            own = {key: value for key, value in entry.items() if key != "like"}
            entry = {**other, **own}
        whole[name] = entry
    return {**raw, "models": whole}


def _first_problem(error: ValidationError) -> str:
    first: Any = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"


def _spec(name: str, entry: _Entry, path: Path) -> ModelSpec:
    if isinstance(entry.source, _Modelfile):
        return _of_modelfile(name, entry, entry.source, path)
    fields = entry.model_dump(exclude={"source", "sha256", "chat_template", "adapter"})
    return ModelSpec(
        name=name,
        source=_source(entry.source, path),
        sha256=entry.sha256 or "",
        chat_template=_template(entry.chat_template, path),
        adapter=_beside(path, entry.adapter) if entry.adapter else None,
        origin=str(path),
        **fields,
    )


def _of_modelfile(name: str, entry: _Entry, source: _Modelfile, path: Path) -> ModelSpec:
    """The entry with what the Modelfile says of weights, adapter and context, where it says none
    of its own."""
    file = _beside(path, source.modelfile)
    try:
        read = modelfile.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: models.{name}: {file} can not be read: {exc}") from exc
    except ConfigError as exc:
        raise ConfigError(f"{file}: {exc.message}", hint=exc.hint) from exc
    if len(read.adapters) > 1:
        raise ConfigError(f"{file}: {len(read.adapters)} adapters; one can be run")
    said: dict[str, object] = {"source": _from(read.source, file)}
    if read.adapters:
        said["adapter"] = str(_beside(file, read.adapters[0]))
    if length := read.last("num_ctx"):
        said["context_length"] = length
    own = entry.model_dump(exclude={"source"}, exclude_unset=True)
    try:
        whole = _Entry.model_validate({**said, **own})
    except ValidationError as exc:
        raise ConfigError(f"{file}: {_first_problem(exc)}") from exc
    others = {key for key, _ in read.parameters} - {"num_ctx"}
    remarks = list(modelfile.left_out(read.template, read.system, others))
    remarks += [f"left out: {other.upper()}" for other in read.others]
    return replace(_spec(name, whole, path), left_out=tuple(remarks))


def _from(value: str, file: Path) -> dict[str, str]:
    """FROM is a file where it looks like one or is one, else a model in the store of Ollama."""
    path = _beside(file, value)
    if value.startswith((".", "/", "~")) or value.endswith(".gguf") or path.is_file():
        return {"path": str(path)}
    return {"ollama": value}


def _source(source: _Pypi | _Hub | _Path | _Ollama, file: Path) -> Source:
    try:
        return _checked_source(source, file)
    except ConfigError as exc:
        raise ConfigError(f"{file}: {exc.message}", hint=exc.hint) from exc


def _checked_source(source: _Pypi | _Hub | _Path | _Ollama, file: Path) -> Source:
    if isinstance(source, _Ollama):
        ollama_store.parts_of(source.ollama)
        return OllamaSource(source.ollama)
    if isinstance(source, _Pypi):
        return PypiSource(tuple(map(parse_pinned, source.pypi)), tuple(source.parts))
    if isinstance(source, _Hub):
        return HubSource(source.hub, source.file, source.revision)
    return PathSource(_beside(file, source.path))


def _beside(file: Path, path: str) -> Path:
    """A path as it is written in a file: absolute, or from the file's folder."""
    return (file.parent / Path(path).expanduser()).resolve()


def _template(value: str, path: Path) -> str:
    """A name of a built-in template, or the text of the Jinja file beside models.toml."""
    if value in ("", "plain"):
        return value
    file = path.parent / value
    if not file.is_file():
        raise ConfigError(
            f"{path}: chat_template = {value!r}: no such file",
            hint='"plain", or the path of a Jinja file beside models.toml',
        )
    return file.read_text(encoding="utf-8")
