"""Digests and fingerprints: what makes two results comparable.

Weights have two digests. The file's tells whether a download is whole. The contents' tells
whether two models are one: Ollama rewrites a GGUF on import, so that the same tensors come with
another file digest.
"""

import contextlib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.core.digests import canonical_json, digest_json, file_digest
from gateway.core.errors import ModelLoadError
from gateway.core.files import stamps, write_atomically
from gateway.core.lfs import refuse_pointer
from gateway.models.gguf import GGUF
from gateway.models.gguf_parts import parts_of
from gateway.models.gguf_sound import refuse_unsound, trust

_REMEMBERED = {"file", "contents", "types", "first"}
"""What an entry of the memory holds; one of an earlier version is made again."""
_LOOKED_AT = 2
"""Counts what a file is looked at for before it is remembered (`gguf_sound`)."""
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_SERIES = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
"""Names of shards as save_pretrained gives them."""
_UNREADABLE = (ValueError, LookupError, OSError, OverflowError, TypeError, AttributeError)
"""What gguf's reader raises for bytes that are not what they should be."""


def gguf_contents_digest(path: Path) -> str:
    """SHA-256 over a GGUF's tensors and the metadata that tells how to read them.

    Tensors count by name, type, shape and data in order of name; metadata by the raw bytes of the
    architecture's, the tokenizer's and an adapter's keys. The order in the file, names, licences
    and the chat template (which has an identity of its own) do not count. A model in several
    parts has the digest of the one file that they were made of.

    Raises:
        ModelLoadError: the file is no readable GGUF, or a part is missing.
    """
    return _contents_digest(_read_parts(path))


def folder_contents_digest(path: Path) -> str:
    """SHA-256 over all that a model is read from in a folder of safetensors: the weights,
    config.json and tokenizer.json.

    Raises:
        ModelLoadError: there are no safetensors in it.
    """
    files = sorted(path.glob("*.safetensors"))
    if not files:
        beside = sorted(path.glob(f"*{GGUF}"))
        raise ModelLoadError(
            f"{path}: no safetensors in it",
            hint=f"it holds GGUF files; name one as the source: {beside[0]}"
            if beside
            else "a pickle (.bin, .pt) runs code and is not read",
        )
    named = [*files, path / "config.json", path / "tokenizer.json"]
    return digest_json([[file.name, file_digest(file)] for file in named if file.is_file()])


def shards_identity(path: Path) -> Mapping[str, str]:
    """Which files of a folder transformers reads the weights from, where neither its names nor its
    config.json tell: an index names other files than those of one series. Nothing: they do.

    `folder_contents_digest` covers what lies in the folder itself. A file that an index finds in a
    folder below counts here.

    Raises:
        ModelLoadError: an index cannot be read.
    """
    named = read_object(path / "config.json").get("transformers_weights") or ""
    index = str(named) or ("" if (path / _WHOLE).is_file() else _INDEX)
    if not index.endswith(".json") or not (path / index).is_file():
        below = [index] if "/" in index else []
    else:
        places = read_object(path / index).get("weight_map")
        if not isinstance(places, dict):
            raise ModelLoadError(f"{path / index}: it has no weight_map")
        shards = sorted(set(map(str, places.values())))
        series = sorted(file.name for file in path.glob("*") if _SERIES.fullmatch(file.name))
        below = [] if shards == series else shards
    return {"shards": digest_json([_with_digest(path, name) for name in below])} if below else {}


def _with_digest(folder: Path, name: str) -> list[str]:
    file = folder / name
    return [name, file_digest(file) if "/" in name and file.is_file() else ""]


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a model's folder.

    Raises:
        ModelLoadError: it cannot be read, or is none.
    """
    refuse_pointer(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelLoadError(f"{path}: cannot be read: {exc}") from exc
    if not isinstance(found, dict):
        raise ModelLoadError(f"{path}: no JSON object")
    return found


def _read_parts(path: Path) -> list[Any]:
    return [_read_gguf(part) for part in parts_of(path)]


def _read_gguf(path: Path) -> Any:
    """The reader of a GGUF."""
    from gateway.models.gguf_reader import RawReader

    try:
        return RawReader(path)
    except _UNREADABLE as exc:
        raise ModelLoadError(
            f"{path}: no readable GGUF: {exc}", hint="the file may be incomplete; pull it again"
        ) from exc


def _contents_digest(parts: Sequence[Any]) -> str:
    """Over the first part's metadata, as llama.cpp reads them, and the tensors of all."""
    total = hashlib.sha256()
    fields = parts[0].fields
    for name in sorted(fields):
        if _says_how_to_read(name, _architecture(parts[0])):
            total.update(name.encode() + b"\0")
            for piece in fields[name].parts:
                total.update(piece.tobytes())
    for tensor in sorted(_tensors(parts), key=lambda t: str(t.name)):
        shape = [int(n) for n in tensor.shape]
        total.update(canonical_json([tensor.name, tensor.tensor_type.name, shape]).encode())
        if tensor.data.size:
            total.update(memoryview(tensor.data).cast("B"))
    return total.hexdigest()


def _says_how_to_read(key: str, architecture: str) -> bool:
    if key.startswith("tokenizer.chat_template"):
        return False
    of_model = (f"{architecture}.", "tokenizer.", "adapter.")
    return key == "general.architecture" or key.startswith(of_model)


def _architecture(reader: Any) -> str:
    """Raises ModelLoadError where it has none."""
    try:
        return str(reader.fields["general.architecture"].contents())
    except _UNREADABLE as exc:
        raise ModelLoadError(f"a GGUF without general.architecture is no model's: {exc}") from exc


def _tensors(parts: Sequence[Any]) -> list[Any]:
    return [tensor for reader in parts for tensor in reader.tensors]


def _tensor_types(parts: Sequence[Any]) -> dict[str, int]:
    """Weights of each quantization type that a GGUF's tensors really have, the most first.

    The type in a file's name is what its maker asked for. Where a tensor's width does not divide
    by the type's block (256 for K-quants), llama.cpp takes another type for it.
    """
    counts: Counter[str] = Counter()
    for tensor in _tensors(parts):
        counts[tensor.tensor_type.name] += int(tensor.n_elements)
    return dict(counts.most_common())


@dataclass(frozen=True, slots=True)
class WeightsDigests:
    """Both digests of one weights file, and what types its tensors have."""

    file: str
    """Of the file that was named: of a model in several parts, of that part."""
    contents: str
    """Of the whole model."""
    types: Mapping[str, int]
    """Weights of each type, the most first."""
    first: str = ""
    """Of a model in several parts the contents of the first, which stood for all when older
    versions wrote a card; empty: it is in one."""


def weights_digests(path: Path, memory: Path) -> WeightsDigests:
    """Digests of a GGUF, computed once and remembered by path and stamp of all its parts.

    Args:
        path: a GGUF, or any part of a split one.
        memory: JSON file in which they are remembered; made when absent, ignored when it cannot be
            read or written.

    Raises:
        ModelLoadError: the file is absent, no readable GGUF, or a part is missing.
    """
    if not path.is_file():
        raise ModelLoadError(f"{path}: no such file")
    files = parts_of(path)
    name = f"{path.resolve()}|"
    key = f"{name}{_LOOKED_AT}|{stamps(files)}"
    known = _read_memory(memory)
    entry = known.get(key)
    if entry is not None and entry.keys() == _REMEMBERED:
        trust(path)
        return WeightsDigests(**entry)
    found = _digests(path, files)
    # Of a file that was there before nothing is asked again.
    known = {other: each for other, each in known.items() if not other.startswith(name)}
    known[key] = asdict(found)
    # Where it cannot be kept, they are computed again: that costs time and nothing else.
    with contextlib.suppress(OSError):
        write_atomically(memory, json.dumps(known, indent=1, sort_keys=True))
    return found


def _digests(path: Path, files: Sequence[Path]) -> WeightsDigests:
    refuse_unsound(path)
    parts = [_read_gguf(file) for file in files]
    try:
        first = _contents_digest(parts[:1]) if len(parts) > 1 else ""
        return WeightsDigests(
            file_digest(path), _contents_digest(parts), _tensor_types(parts), first
        )
    except ModelLoadError as exc:
        raise ModelLoadError(f"{path}: {exc.message}") from exc


def _read_memory(memory: Path) -> dict[str, dict[str, Any]]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
