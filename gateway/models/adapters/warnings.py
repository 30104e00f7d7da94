"""What an entry that runs an adapter is told of it."""

import json
from pathlib import Path

from gateway.models.adapters.config_keys import told
from gateway.models.adapters.folder import CONFIG
from gateway.models.adapters.numbers import oddities
from gateway.models.adapters.own_template import unused_template


def told_of(entry: str, weights: Path, template: str | None) -> tuple[str, ...]:
    """Warnings, in one sentence each: odd numbers, keys that are passed over, a chat template of
    the adapter's own.

    Args:
        weights: an `adapter_model.safetensors`, or a GGUF of an adapter.
        template: the chat template that the entry uses.
    """
    folder = weights.parent
    said = (*oddities(weights), *_passed_over(folder), *unused_template(folder, template))
    return tuple(f"{entry}: its adapter: {each}" for each in said)


def _passed_over(folder: Path) -> tuple[str, ...]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()  # A GGUF has none; else whoever loads it says why.
    return told(config) if isinstance(config, dict) else ()
