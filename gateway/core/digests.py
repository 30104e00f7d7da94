"""Digests of bytes, texts and values, and the one JSON text of a value."""

import hashlib
import json
from pathlib import Path
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest_bytes(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_text(text: str) -> str:
    """SHA-256 of the UTF-8 text; a lone surrogate is digested as the escape that JSON gives it."""
    return digest_bytes(text.encode("utf-8", errors="surrogatepass"))


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, the same for equal values on every run."""
    return _CANONICAL.encode(value)


def digest_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return digest_text(canonical_json(value))


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
