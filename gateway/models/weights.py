"""Digests and fingerprints: what makes two results comparable.

Weights have two digests. The file's tells whether a download is whole. The contents' tells
whether two models are one: Ollama rewrites a GGUF on import, so that the same tensors come with
another file digest.
"""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.core.digests import canonical_json, digest_json, file_digest
from gateway.core.errors import ModelLoadError
from gateway.core.files import write_atomically

_REMEMBERED = {"file", "contents", "types"}
"""What an entry of the memory holds; one of an earlier version is made again."""


def gguf_contents_digest(path: Path) -> str:
    """SHA-256 over a GGUF's tensors and the metadata that tells how to read them.

    Tensors count by name, type, shape and data in order of name; metadata by the raw bytes of the
    architecture's, the tokenizer's and an adapter's keys. The order in the file, names, licences
    and the chat template (which has an identity of its own) do not count.

    Raises:
        ModelLoadError: the file is no readable GGUF.
    """
    return _contents_digest(*_read_gguf(path))


def folder_contents_digest(path: Path) -> str:
    """SHA-256 over all that a model is read from in a folder of safetensors: the weights,
    config.json and tokenizer.json.

    Raises:
        ModelLoadError: there are no safetensors in it.
    """
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise ModelLoadError(
            f"{path}: no safetensors in it", hint="a pickle (.bin, .pt) runs code and is not read"
        )
    named = [*files, path / "config.json", path / "tokenizer.json"]
    return digest_json([[file.name, file_digest(file)] for file in named if file.is_file()])


def _read_gguf(path: Path) -> tuple[Any, str]:
    """The reader of a GGUF, and its architecture. A large vocabulary takes seconds, so once."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        return reader, str(reader.fields["general.architecture"].contents())
    except (ValueError, KeyError, IndexError, OSError) as exc:
        raise ModelLoadError(
            f"{path}: no readable GGUF: {exc}", hint="the file may be incomplete; pull it again"
        ) from exc


def _contents_digest(reader: Any, architecture: str) -> str:
    total = hashlib.sha256()
    for name in sorted(reader.fields):
        if name == "general.architecture" or name.startswith(
            (f"{architecture}.", "tokenizer.", "adapter.")
        ):
            if name.startswith("tokenizer.chat_template"):
                continue
            total.update(name.encode() + b"\0")
            for part in reader.fields[name].parts:
                total.update(part.tobytes())
    for tensor in sorted(reader.tensors, key=lambda t: str(t.name)):
        shape = [int(n) for n in tensor.shape]
        total.update(canonical_json([tensor.name, tensor.tensor_type.name, shape]).encode())
        total.update(memoryview(tensor.data).cast("B"))
    return total.hexdigest()


def _tensor_types(reader: Any) -> dict[str, int]:
    """Weights of each quantization type that a GGUF's tensors really have, the most first.

    The type in a file's name is what its maker asked for. Where a tensor's width does not divide
    by the type's block (256 for K-quants), llama.cpp takes another type for it.
    """
    counts: Counter[str] = Counter()
    for tensor in reader.tensors:
        counts[tensor.tensor_type.name] += int(tensor.n_elements)
    return dict(counts.most_common())


@dataclass(frozen=True, slots=True)
class WeightsDigests:
    """Both digests of one weights file, and what types its tensors have."""

    file: str
    contents: str
    types: Mapping[str, int]
    """Weights of each type, the most first."""


def weights_digests(path: Path, memory: Path) -> WeightsDigests:
    """Digests of a GGUF, computed once and remembered by path, size and modification time.

    Args:
        memory: JSON file in which they are remembered; made when absent, ignored when it cannot be
            read or written.

    Raises:
        ModelLoadError: the file is absent or no readable GGUF.
    """
    if not path.is_file():
        raise ModelLoadError(f"{path}: no such file")
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    known = _read_memory(memory)
    entry = known.get(key)
    if entry is not None and entry.keys() == _REMEMBERED:
        return WeightsDigests(**entry)
    reader, architecture = _read_gguf(path)
    contents = _contents_digest(reader, architecture)
    found = WeightsDigests(file_digest(path), contents, _tensor_types(reader))
    known[key] = asdict(found)
    # Where it cannot be kept, they are computed again: that costs time and nothing else.
    with contextlib.suppress(OSError):
        write_atomically(memory, json.dumps(known, indent=1, sort_keys=True))
    return found


def _read_memory(memory: Path) -> dict[str, dict[str, Any]]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
