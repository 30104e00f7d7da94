"""The folder in which an Ollama server keeps its models, read without the server.

    manifests/HOST/NAMESPACE/MODEL/TAG   JSON: the model's layers, each a media type and a digest
    blobs/sha256-DIGEST                  a layer: weights, adapter, template, system, parameters

Layout, defaults of names and media types: Ollama's `types/model/name.go` and
`server/manifest.go`, version 0.33.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError

from gateway.core.digests import digest_bytes
from gateway.core.errors import ConfigError, ModelLoadError, ModelNotPulled

_KIND = "application/vnd.ollama.image."
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,255}")
_DEFAULT_HOST, _DEFAULT_NAMESPACE, _DEFAULT_TAG = "registry.ollama.ai", "library", "latest"
_MOST_TEXT = 1 << 20
"""Bytes of a manifest or a layer of text; real ones are a few thousand."""
_GGUF = b"GGUF"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Stored:
    """A model of the store."""

    name: str
    weights: Path
    """A GGUF file, named by its sha256."""
    sha256: str
    size: int
    """Of the weights, in bytes."""
    adapters: tuple[Path, ...]
    template: str
    """Ollama's own, in Go's language; empty where there is none."""
    system: str
    parameters: Mapping[str, JsonValue]
    others: tuple[str, ...]
    """Kinds of layers that have no place here, such as projector."""


class _Layer(BaseModel):
    kind: str = Field(alias="mediaType")
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Manifest(BaseModel):
    layers: list[_Layer] = Field(max_length=1000)


def resolve(root: Path, name: str) -> Stored:
    """A model by the name that `ollama list` shows.

    Raises:
        ConfigError: that is no name.
        ModelNotPulled: the store, the model or one of its layers is absent.
        ModelLoadError: it is not one GGUF file, or something of it cannot be read.
    """
    parts = parts_of(name)
    try:
        return _resolve(root, name, parts)
    except OSError as exc:  # a store of another user's, or a name that is too long for a file
        raise ModelLoadError(f"{exc.filename}: cannot be read: {exc.strerror}") from exc


def _resolve(root: Path, name: str, parts: tuple[str, str, str, str]) -> Stored:
    path = root / "manifests" / Path(*parts)
    if not path.is_file():
        raise ModelNotPulled(f"{name} is not in the Ollama store {root}", hint=_known(root, name))
    layers = [
        (layer.kind.removeprefix(_KIND), _blob(root, name, layer.digest))
        for layer in _json(path, TypeAdapter(_Manifest)).layers
    ]
    weights = [blob for kind, blob in layers if kind == "model"]
    if len(weights) != 1:
        raise ModelLoadError(
            f"{name}: its manifest has {len(weights)} layers of weights in GGUF; 1 can be run",
            hint=str(path),
        )
    with weights[0].open("rb") as file:
        if file.read(len(_GGUF)) != _GGUF:
            raise ModelLoadError(f"{name}: {weights[0]} is no GGUF file")
    texts = {kind: blob for kind, blob in layers if kind in ("template", "system")}
    params = [blob for kind, blob in layers if kind == "params"]
    known = {"model", "adapter", "template", "system", "params", "license"}
    return Stored(
        name=name,
        weights=weights[0],
        sha256=weights[0].name.removeprefix("sha256-"),
        size=weights[0].stat().st_size,
        adapters=tuple(blob for kind, blob in layers if kind == "adapter"),
        template=_text(texts["template"]) if "template" in texts else "",
        system=_text(texts["system"]) if "system" in texts else "",
        parameters=_json(params[0], TypeAdapter(dict[str, JsonValue])) if params else {},
        others=tuple(sorted({kind for kind, _ in layers} - known)),
    )


def resolve_same(root: Path, name: str, digest: str) -> Stored | None:
    """A model of the store if it is the one that a server names by this digest, which is the
    sha256 of its manifest; None where the store lacks it, has another, or cannot be read."""
    try:
        path = root / "manifests" / Path(*parts_of(name))
        if digest_bytes(path.read_bytes()) != digest:
            return None
        return resolve(root, name)
    except (OSError, ConfigError, ModelLoadError):
        return None


def listed(root: Path) -> list[str]:
    """Names of all models in the store, as `ollama list` writes them."""
    manifests = root / "manifests"
    return sorted(_short(path.relative_to(manifests).parts) for path in _files(manifests))


def _files(manifests: Path) -> Iterator[Path]:
    return (p for p in manifests.glob("*/*/*/*") if p.is_file() and not p.name.startswith("."))


def parts_of(name: str) -> tuple[str, str, str, str]:
    """Host, namespace, model and tag of a name; each is one part of a path.

    Raises:
        ConfigError: that is no name.
    """
    *before, last = name.split("/")
    model, _, tag = last.partition(":")
    given = [*[_DEFAULT_HOST, _DEFAULT_NAMESPACE][: max(0, 2 - len(before))], *before, model]
    parts = (*given, tag or _DEFAULT_TAG)
    host, *others = parts
    fits = _HOST.fullmatch(host) and all(_PART.fullmatch(part) for part in others)
    if len(parts) != 4 or not fits:
        raise ConfigError(f"{name!r} is no name of an Ollama model", hint="as in `ollama list`")
    return parts[0], parts[1], parts[2], parts[3]


def _short(parts: tuple[str, ...]) -> str:
    host, namespace, model, tag = parts
    if host != _DEFAULT_HOST:
        return f"{host}/{namespace}/{model}:{tag}"
    return f"{model}:{tag}" if namespace == _DEFAULT_NAMESPACE else f"{namespace}/{model}:{tag}"


def _known(root: Path, name: str) -> str:
    if not root.is_dir():
        return "OLLAMA_MODELS says where the server keeps its models"
    return f"ollama pull {name}; there are: {', '.join(listed(root)) or 'none'}"


def _blob(root: Path, name: str, digest: str) -> Path:
    path = root / "blobs" / digest.replace(":", "-")
    if not path.is_file():
        raise ModelNotPulled(f"{name}: {path}: no such file", hint=f"ollama pull {name}")
    return path


def _text(path: Path) -> str:
    with path.open("rb") as file:
        found = file.read(_MOST_TEXT + 1)
    if len(found) > _MOST_TEXT:
        raise ModelLoadError(f"{path}: more than {_MOST_TEXT} bytes of text")
    return found.decode("utf-8", errors="replace")


def _json(path: Path, shape: TypeAdapter[_T]) -> _T:
    try:
        return shape.validate_json(_text(path))
    except ValidationError as exc:
        first: Any = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelLoadError(f"{path}: {where}: {first['msg']}") from exc
