"""Writes models where an Ollama server would keep them."""

import json
from pathlib import Path

from gateway.core.digests import digest_bytes, file_digest

_KIND = "application/vnd.ollama.image."


def write_model(root: Path, manifest: str, *layers: tuple[str, bytes | Path]) -> list[Path]:
    """Write a model of these layers, each its kind and its content; files are linked, not copied.

    Args:
        manifest: its path, such as registry.ollama.ai/library/smol/latest.

    Returns:
        The blobs.
    """
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    entries, blobs = [], []
    for kind, content in layers:
        digest = file_digest(content) if isinstance(content, Path) else digest_bytes(content)
        blob = root / "blobs" / f"sha256-{digest}"
        blob.unlink(missing_ok=True)
        if isinstance(content, Path):
            blob.symlink_to(content)
        else:
            blob.write_bytes(content)
        entries.append({"mediaType": _KIND + kind, "digest": f"sha256:{digest}", "size": 1})
        blobs.append(blob)
    path = root / "manifests" / manifest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schemaVersion": 2, "layers": entries}))
    return blobs
