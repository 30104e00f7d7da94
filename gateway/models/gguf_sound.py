"""GGUF files that would end the whole process in llama.cpp, refused by name before it sees them.

llama.cpp checks much of a header by `GGML_ASSERT`, and some of a vocabulary by exceptions that no
caller can catch: either ends a server with all that it serves. What is asked here are those checks,
found by damaging every key, tensor and byte of a small model's header.
Reference: llama.cpp as of llama-cpp-python 0.3.36, src/llama-model.cpp, src/llama-vocab.cpp.
"""

import math
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.core.errors import ModelLoadError
from gateway.core.files import stamps
from gateway.core.lists import first_names
from gateway.models.gguf import Header
from gateway.models.gguf_kind import refuse_incomplete
from gateway.models.gguf_parts import parts_of, read_model

_TOKENS, _KINDS = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_OF_TEXTS, _OF_NUMBERS = 8, {4: "<u4", 5: "<i4"}
"""Types of an array's values in a GGUF."""
_BYTE = 6
"""`LLAMA_TOKEN_TYPE_BYTE` of llama.h."""
_LIMITS = {"context_length": (32, 2**31 - 1), "block_count": (1, 512), "expert_count": (0, 512)}
"""Keys of the architecture -> the least and the most; `LLAMA_MAX_LAYERS`, `LLAMA_MAX_EXPERTS`."""
_ALIGNED = 32
"""`TENSOR_ALIGNMENT` of ggml, for data that are used where they lie in the file."""
_TYPED = {
    **dict.fromkeys(("general.architecture", "general.type", "adapter.type"), "STRING"),
    "adapter.lora.alpha": "FLOAT32",
    "adapter.alora.invocation_tokens": "ARRAY",
    **dict.fromkeys(("split.no", "split.count"), "UINT16"),
    "split.tensors.count": "INT32",
}
"""Keys that llama.cpp reads without asking of which type they are (`gguf_get_val_*`)."""
_WEIGHTS = (".weight", ".lora_a", ".lora_b")
_NO_WEIGHTS = {"I8", "I16", "I32", "I64", "F64"}
_WITHOUT_TEXT = {"none", "no_vocab"}
_ESCAPED = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([tnr])|(.))", re.DOTALL)
"""How tokens of RWKV are written in a GGUF."""
_UNREADABLE = (ValueError, LookupError, OverflowError, TypeError, AttributeError, struct.error)
"""What gguf's reader raises for bytes that are not what they should be."""

_sound: set[str] = set()
"""Stamps of files that were looked at in this process, or are remembered."""


def refuse_unsound(path: Path) -> None:
    """Raise ModelLoadError for a GGUF that llama.cpp would end the process for; once for each file
    as it is.

    Args:
        path: a GGUF, or any part of a split one.
    """
    seen = stamps(parts_of(path))
    if seen in _sound:
        return
    if reason := next(_reasons(path), ""):
        raise ModelLoadError(
            f"{path}: {reason}", hint="the file may be damaged; pull it again, or convert it again"
        )
    _sound.add(seen)


def trust(path: Path) -> None:
    """Look at a file no more: it was looked at before, and is what it was then."""
    _sound.add(stamps(parts_of(path)))


def _reasons(path: Path) -> Iterator[str]:
    from gateway.models.gguf_reader import RawReader

    header = read_model(path)
    yield from _of_numbers(header)
    yield from _of_tensors(header)
    refuse_incomplete(header)
    try:
        fields = RawReader(header.parts[0]).fields
        yield from _of_types(fields)
        for part in header.parts[1:]:
            yield from _of_types(RawReader(part).fields)
        yield from _of_vocabulary(fields, str(header.metadata.get("tokenizer.ggml.model", "")))
    except _UNREADABLE as exc:
        yield f"no readable GGUF: {exc}"


def _of_types(fields: Any) -> Iterator[str]:
    for key, wanted in _TYPED.items():
        if key in fields and (found := fields[key].types[0].name) != wanted:
            yield f"{key} is of the type {found}, not {wanted}"


def _of_numbers(header: Header) -> Iterator[str]:
    for key, (least, most) in _LIMITS.items():
        value = header.of_architecture(key)
        if isinstance(value, int) and not least <= value <= most:
            yield f"{header.architecture}.{key} is {value}, and may be {least} to {most}"
    for key, value in header.metadata.items():
        if key.endswith("epsilon") and isinstance(value, float) and not 0 <= value < math.inf:
            yield f"{key} is {value}, and no number above 0"
    heads, of_keys = (
        header.of_architecture(f"attention.head_count{which}") for which in ("", "_kv")
    )
    if isinstance(heads, int) and isinstance(of_keys, int) and of_keys > heads > 0:
        yield f"{header.architecture}.attention.head_count_kv is {of_keys}, of {heads} heads"
    experts, used, layers, more = (
        header.of_architecture(key)
        for key in ("expert_count", "expert_used_count", "block_count", "nextn_predict_layers")
    )
    has_used = f"{header.architecture}.expert_used_count" in header.metadata
    if not experts and has_used and used != 0:
        yield f"it uses experts ({header.architecture}.expert_used_count) and has none"
    if experts and not (has_used and used != 0):
        yield f"it has {experts} experts and uses none ({header.architecture}.expert_used_count)"
    if isinstance(experts, int) and isinstance(used, int) and used > experts > 0:
        yield f"it uses {used} experts of {experts}"
    if isinstance(more, int) and isinstance(layers, int) and more > layers:
        yield f"{header.architecture}.nextn_predict_layers is {more}, of {layers} layers"


def _of_tensors(header: Header) -> Iterator[str]:
    for tensor in header.tensors:
        if tensor.type in _NO_WEIGHTS and tensor.name.endswith(_WEIGHTS):
            yield f"{tensor.name} has numbers of type {tensor.type}, which are no weights"
        if header.place(tensor)[1] % _ALIGNED:
            yield f"its data are not aligned to {_ALIGNED} bytes: {tensor.name}"


def _of_vocabulary(fields: Any, kind: str) -> Iterator[str]:
    if kind in _WITHOUT_TEXT:
        yield f"it reads no texts: its tokenizer.ggml.model is {kind!r}"
    if _TOKENS not in fields:
        return
    texts = _texts(_array(fields, _TOKENS))
    if twice := [text for text, n in Counter(texts).items() if n > 1 and text]:
        said = first_names([text.decode("utf-8", "replace") for text in twice])
        yield f"its vocabulary has tokens twice: {said}"
    if lacking := _LACKING.get(kind, _nothing)(set(texts)):
        yield (
            f"its vocabulary lacks {len(lacking)} of the 256 bytes, such as 0x{lacking[0]:02X}: "
            "llama.cpp finds no token for a character that has none of its own"
        )
    if kind == "bert" and _BYTE in _numbers(fields, _KINDS):
        yield "its vocabulary is of words (bert), and has tokens for bytes"


def _array(fields: Any, key: str) -> bytes:
    """With its header, as `RawReader` leaves it."""
    field = fields[key]
    if field.types[0].name != "ARRAY":
        raise ValueError(f"{key} is no array")
    return bytes(field.parts[field.data[0]].tobytes())


def _texts(array: bytes) -> list[bytes]:
    """As llama.cpp reads them: each ends with its first zero byte."""
    kind, count = struct.unpack_from("<IQ", array)
    if kind != _OF_TEXTS:
        raise ValueError(f"{_TOKENS} holds no texts")
    found, at = [], struct.calcsize("<IQ")
    for _ in range(count):
        (size,) = struct.unpack_from("<Q", array, at)
        at += 8 + size
        found.append(array[at - size : at].partition(b"\0")[0])
    return found


def _numbers(fields: Any, key: str) -> Any:
    import numpy as np

    array = _array(fields, key) if key in fields else b""
    form = _OF_NUMBERS.get(int.from_bytes(array[:4], "little"))
    return np.frombuffer(array[12:], form) if form else ()


def _nothing(_: set[bytes]) -> Sequence[int]:
    return ()


def _no_byte(texts: set[bytes]) -> Sequence[int]:
    """Bytes that have neither a token <0xNN> nor one of their own (`byte_to_token`)."""
    return [n for n in range(256) if not {b"<0x%02X>" % n, bytes([n])} & texts]


def _no_single(texts: set[bytes]) -> Sequence[int]:
    """Bytes without a token of their own, at which the search for the longest never ends."""
    plain = {_ESCAPED.sub(_unescaped, text) for text in texts if len(text) <= 4}
    return [n for n in range(256) if bytes([n]) not in plain]


def _unescaped(found: re.Match[bytes]) -> bytes:
    digits, control, other = found.groups()
    if digits:
        return bytes([int(digits, 16)])
    return {b"t": b"\t", b"n": b"\n", b"r": b"\r"}.get(control, b"") if control else bytes(other)


_LACKING: dict[str, Callable[[set[bytes]], Sequence[int]]] = {
    "llama": _no_byte,
    "rwkv": _no_single,
}
"""Value of `tokenizer.ggml.model` -> the bytes that a vocabulary of that kind must not lack."""
