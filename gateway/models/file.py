"""models.toml -> `ModelSpec`.

Entries come from the file that ships with the package and from the user's own, where an entry of
the same name replaces the shipped one. Which keys an entry may have, its backend says: the classes
of all backends are handed in.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from os.path import exists, isdir, isfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.errors import ConfigError, UnknownModel, located
from gateway.core.toml import checked, read_toml, unknown_key
from gateway.models.adapters.names import EXPORTED, folder_of, is_probe
from gateway.models.environment import adapters_root, from_environment, own_models, shipped
from gateway.models.gguf_parts import placed
from gateway.models.modelfile import Modelfile, left_out, parse
from gateway.models.ollama_store import parts_of
from gateway.models.pinned import parse_pinned
from gateway.models.spec import (
    ENTRY_NAME,
    NAMED,
    WITH,
    HubSource,
    Kernels,
    ModelSpec,
    OllamaSource,
    PathSource,
    PypiSource,
    Source,
)

Kinds = Mapping[str, type[ModelSpec]]
"""Name of a backend -> the class of its entries; the first is that of entries that name none."""

Keys = Mapping[str, Any]
"""A table of the file, as TOML says it."""

_JINJA = ("{%", "{{", "\n")
_NAME_OF_ONE = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""How a model's own chat templates are called: tool_use, rag, default."""
_SHOWN = 60
"""Characters of a value that an error quotes."""
_NOT_WRITTEN = {"name", "origin", "left_out", "kernels"}
"""Fields of entries that are no keys of their tables."""


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Pypi(_Written):
    pypi: list[str] = Field(min_length=1)
    parts: list[str] = Field(min_length=1)


class _Hub(_Written):
    hub: str
    file: str = ""
    revision: str = "main"


class _Path(_Written):
    path: str


class _Ollama(_Written):
    ollama: str


class _Modelfile(_Written):
    modelfile: str


_SOURCES: Mapping[str, type[_Path | _Hub | _Pypi | _Ollama | _Modelfile]] = {
    "path": _Path,
    "hub": _Hub,
    "pypi": _Pypi,
    "ollama": _Ollama,
    "modelfile": _Modelfile,
}
"""Each kind of source by the key that only it has."""


class _Beside(_Written):
    """Keys whose values are files beside the one that they stand in."""

    adapter: str | None = None
    chat_template: str = ""


class _File(_Written):
    default: str | None = None
    kernels: Kernels | None = None
    models: dict[Annotated[str, Field(pattern=ENTRY_NAME)], dict[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Models:
    """All known entries."""

    specs: Mapping[str, ModelSpec]
    default: str
    kinds: Kinds = field(default_factory=dict)

    def serving(self, names: Iterable[str]) -> "Models":
        """These and those that the names make: "PREFIX:NAME" a model of the backend that has the
        prefix, "ENTRY+ADAPTER" an entry with an adapter of `adapters_root`.

        Raises:
            ConfigError: such a name is none of a model, there is no such adapter, or the entry
                takes none.
            UnknownModel: no entry has the name before the "+".
        """
        new = [name for name in names if name not in self.specs]
        made = {name: self._adapted(name) for name in new if WITH in name}
        named = {name: kind_named(self.kinds, name) for name in new if WITH not in name}
        made |= {name: kind.named(name) for name, kind in named.items() if kind}
        return replace(self, specs={**self.specs, **made})

    def _adapted(self, name: str) -> ModelSpec:
        entry, _, adapter = name.partition(WITH)
        spec = self.serving([entry]).get(entry)
        if not spec.can.adapters:
            raise ConfigError(
                f"{name}: an adapter is run in process, and {entry} has the backend {spec.backend}"
            )
        if spec.adapter is not None:
            raise ConfigError(f"{name}: {entry} has an adapter already: {spec.adapter}")
        folder = folder_of(adapters_root(), adapter)
        if is_probe(folder):
            return spec.probed(name, folder)
        if spec.can.adapters == "folder":
            return replace(spec, name=name, adapter=folder)
        if not (folder / EXPORTED).is_file():
            raise ConfigError(
                f"{name}: {folder} holds no {EXPORTED}, which llama.cpp reads",
                hint=f"gateway adapters export {adapter} --base {entry}",
            )
        return replace(spec, name=name, adapter=folder / EXPORTED)

    def at_most(self, parallel: int) -> "Models":
        """The same entries with no more sequences than that: each costs memory, and time to make,
        and how many there are changes no byte of an answer."""
        most = max(parallel, 1)
        specs = {
            name: replace(spec, parallel=min(spec.parallel, most))
            for name, spec in self.specs.items()
        }
        return replace(self, specs=specs)

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


def kind_named(kinds: Kinds, name: str) -> type[ModelSpec] | None:
    """The kind of entry that a name makes by itself, having its prefix; None: it names an entry."""
    prefixed = (kind for kind in kinds.values() if kind.prefix and name.startswith(kind.prefix))
    return next(prefixed, None)


def read_models(kinds: Kinds, user_file: Path | None = None) -> Models:
    """The shipped entries and the user's.

    Args:
        kinds: the classes of all backends' entries.
        user_file: instead of the user's default file; it must exist.

    Raises:
        ConfigError: a file does not parse, or a key is unknown or out of range.
    """
    specs, written = _read(shipped("modelfiles") / "models.toml", kinds)
    shipped_entries = written.models
    default, kernels = written.default, written.kernels
    wanted = user_file or from_environment("GATEWAY_MODELS")
    own = wanted or own_models()
    if own.is_file():
        more, written = _read(own, kinds, shipped_entries)
        specs |= more
        default, kernels = written.default or default, written.kernels or kernels
    elif wanted:
        raise ConfigError(f"{own}: no such file")
    if default not in specs:
        raise ConfigError(f"{own}: the default model {default!r} has no entry")
    if kernels:
        specs = {name: _with_kernels(spec, kernels) for name, spec in specs.items()}
    return Models(specs, default, kinds)


def _with_kernels(spec: ModelSpec, kernels: Kernels) -> ModelSpec:
    return type(spec).like(spec, kernels=kernels) if "kernels" in spec.takes() else spec


def _read(
    path: Path, kinds: Kinds, others: Mapping[str, Keys] | None = None
) -> tuple[dict[str, ModelSpec], _File]:
    """The entries of a file.

    Args:
        others: entries of the shipped file, which one may be like too.
    """
    parsed = read_toml(path, _File)
    specs = {}
    for name, own in parsed.models.items():
        with located(f"{path}: models.{name}"):
            keys = _inherited(own, {**(others or {}), **parsed.models})
            specs[name] = _spec(name, keys, path, kinds)
    return specs, parsed


def _inherited(own: Keys, entries: Mapping[str, Keys]) -> Keys:
    """The keys of an entry; with `like = "other"`, that entry's wherever it has none of its own.

    Shipped entries name no files beside theirs, so that their keys mean the same in each file.
    """
    if "like" not in own:
        return own
    other = entries.get(str(own["like"]))
    if other is None or "like" in other:
        alone = ", ".join(name for name, keys in entries.items() if "like" not in keys)
        raise ConfigError(
            f"like = {str(own['like'])[:_SHOWN]!r} names no entry that stands on its own",
            hint=f"known: {alone}",
        )
    return {**other, **{key: value for key, value in own.items() if key != "like"}}


def _spec(name: str, keys: Keys, file: Path, kinds: Kinds) -> ModelSpec:
    kind = _kind(keys, kinds)
    source = _written_source(keys.get("source"))
    if isinstance(source, _Modelfile):
        return _of_modelfile(name, keys, _beside(file, source.modelfile), file, kinds)
    _check_keys(keys, kind, kinds)
    beside = checked({key: keys[key] for key in _Beside.model_fields if key in keys}, _Beside)
    given = {
        **keys,
        "name": name,
        "source": _source(source, file),
        "chat_template": _template(beside.chat_template, file),
        "adapter": _beside(file, beside.adapter) if beside.adapter else None,
        "origin": str(file),
    }
    if isinstance(keys.get("date"), date):
        given["date"] = keys["date"].isoformat()  # TOML has days of its own
    return checked({key: value for key, value in given.items() if key != "backend"}, kind)


def _kind(keys: Keys, kinds: Kinds) -> type[ModelSpec]:
    backend = str(keys.get("backend", next(iter(kinds))))
    if backend not in kinds:
        raise ConfigError(
            f"backend: {backend[:_SHOWN]!r} is none", hint=f"known: {', '.join(kinds)}"
        )
    return kinds[backend]


def _check_keys(keys: Keys, kind: type[ModelSpec], kinds: Kinds) -> None:
    """Raise ConfigError for a key that the backend does not have, and say which one does."""
    known = _written(kind)
    for key in keys:
        if key in ("backend", *known):
            continue
        if key in kind.refused:
            raise ConfigError(f"{key}: {kind.refused[key]}")
        if others := [f'"{name}"' for name, other in kinds.items() if key in _written(other)]:
            raise ConfigError(f"{key}: only with backend = {' or '.join(others)}")
        raise unknown_key(key, ["backend", "like", *known])


def _written(kind: type[ModelSpec]) -> list[str]:
    """The keys that an entry's table may have."""
    return [key for key in kind.takes() if key not in _NOT_WRITTEN]


def _of_modelfile(name: str, keys: Keys, modelfile: Path, file: Path, kinds: Kinds) -> ModelSpec:
    """The entry with what the Modelfile says of weights, adapter and context, where it says none
    of its own."""
    try:
        text = modelfile.read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{modelfile} cannot be read: {exc}") from exc
    with located(str(modelfile)):
        read = parse(text)
        if len(read.adapters) > 1:
            raise ConfigError(f"{len(read.adapters)} adapters; one can be run")
        said: dict[str, object] = {
            "source": _from(read.source, modelfile),
            **_on_folder(read, modelfile, kinds),
        }
        if read.adapters:
            said["adapter"] = str(_beside(modelfile, read.adapters[0]))
        if length := read.last("num_ctx"):
            # A Modelfile has texts alone; what is no number is refused as the key's value.
            said["context_length"] = int(length) if length.isdecimal() else length
        own = {key: value for key, value in keys.items() if key != "source"}
        spec = _spec(name, {**said, **own}, file, kinds)
    others = {key for key, _ in read.parameters} - {"num_ctx"}
    remarks = list(left_out(read.template, read.system, others))
    remarks += [f"left out: {other.upper()}" for other in read.others]
    return replace(spec, left_out=tuple(remarks))


def _from(value: str, file: Path) -> dict[str, str]:
    """FROM is a file or a folder where it looks like one or is one, else a model in the store of
    Ollama."""
    path = _beside(file, value)
    if value.startswith((".", "/", "~")) or value.endswith(".gguf") or exists(path):
        return {"path": str(path)}
    return {"ollama": value}


def _on_folder(read: Modelfile, file: Path, kinds: Kinds) -> dict[str, object]:
    """The backend that runs a folder of safetensors, where FROM names one."""
    if not isdir(_beside(file, read.source)):
        return {}
    return {"backend": next(name for name, kind in kinds.items() if kind.can.reads_folders)}


def _written_source(raw: object) -> _Path | _Hub | _Pypi | _Ollama | _Modelfile:
    kinds = [key for key in _SOURCES if isinstance(raw, Mapping) and key in raw]
    if not kinds:
        raise ConfigError(f"source: a source has one of the keys {', '.join(_SOURCES)}")
    with located("source"):
        return checked(raw, _SOURCES[kinds[0]])


def _source(source: _Path | _Hub | _Pypi | _Ollama, file: Path) -> Source:
    if isinstance(source, _Ollama):
        parts_of(source.ollama)
        return OllamaSource(source.ollama)
    if isinstance(source, _Pypi):
        return PypiSource(tuple(map(parse_pinned, source.pypi)), tuple(source.parts))
    if isinstance(source, _Hub):
        return HubSource(source.hub, source.file, source.revision)
    return PathSource(_beside(file, source.path))


def _beside(file: Path, path: str) -> Path:
    """A path as it is written in a file: absolute, or from the file's folder."""
    if "\0" in path:
        raise ConfigError(f"{path[:_SHOWN]!r} is no path: it holds a NUL")
    try:
        return placed(file.parent / Path(path).expanduser())
    except (OSError, RuntimeError, ValueError) as exc:
        raise ConfigError(f"{path[:_SHOWN]!r} is no path: {exc}") from exc


def _template(value: str, path: Path) -> str:
    """A name of a built-in template or of one of the model's own, or the text of the Jinja file
    beside models.toml."""
    if value in ("", "plain"):
        return value
    if any(mark in value for mark in _JINJA):
        raise ConfigError(
            f"chat_template = {value[:_SHOWN]!r}: a template, where the path of one is expected",
            hint='write it to a file beside models.toml: chat_template = "mine.jinja"',
        )
    file = _beside(path, value)
    if not isfile(file) and _NAME_OF_ONE.fullmatch(value):
        return f"{NAMED}{value}"  # Whether the model has it, loading tells.
    if not isfile(file):
        raise ConfigError(
            f"chat_template = {value[:_SHOWN]!r}: no such file",
            hint='"plain", the name of one of the model\'s own templates, or the path of a Jinja '
            "file beside models.toml",
        )
    try:
        return file.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"chat_template: {file} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(
            f"chat_template: {file}: byte 0x{exc.object[exc.start]:02x} at offset {exc.start} is "
            "no UTF-8",
            hint="save the template as UTF-8",
        ) from exc
