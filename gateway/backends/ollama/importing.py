"""A model of an Ollama store becomes an entry of the user's models.toml."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.backends.registry import load_models
from gateway.core.errors import ConfigError
from gateway.models.environment import shipped
from gateway.models.modelfile import left_out
from gateway.models.ollama_store import Stored
from gateway.models.spec import ENTRY_NAME
from gateway.models.writing import Entry, entries_text, put_entries


@dataclass(frozen=True, slots=True)
class Imported:
    """What was written, and what of Ollama's it leaves out."""

    text: str
    remarks: tuple[str, ...]


def add_entry(file: Path, stored: Stored, entry: str = "") -> Imported:
    """Append an entry to models.toml, which is made where it is absent.

    Args:
        entry: its name; empty: the model's, without the tag `latest`.

    Raises:
        ConfigError: the name is taken or is none, the model has several adapters, or the file does
            not parse; it stays as it was.
    """
    name = entry or stored.name.removesuffix(":latest").replace("/", "-")
    if not re.fullmatch(ENTRY_NAME, name):
        raise ConfigError(f"{name!r} cannot name an entry", hint="choose a name with --as")
    if len(stored.adapters) > 1:
        raise ConfigError(f"{stored.name} has {len(stored.adapters)} adapters; one can be run")
    there = file.is_file()
    if name in load_models(file if there else shipped("modelfiles") / "models.toml").specs:
        raise ConfigError(f"{file}: {name!r} is an entry already", hint="choose a name with --as")
    entries = {name: _entry(stored)}
    put_entries(file, entries)
    return Imported(entries_text(entries).strip(), tuple(_remarks(stored)))


def _entry(stored: Stored) -> Entry:
    entry: dict[str, object] = {"source": {"ollama": stored.name}, "sha256": stored.sha256}
    if stored.adapters:
        entry["adapter"] = str(stored.adapters[0])
    if (length := _context(stored)) is not None:
        entry["context_length"] = length
    return entry


def _context(stored: Stored) -> int | None:
    """Tokens, where the model sets a number that an entry can have."""
    length = stored.parameters.get("num_ctx")
    return length if isinstance(length, int) and 32 <= length <= 1 << 24 else None


def _remarks(stored: Stored) -> Iterator[str]:
    taken = {"num_ctx"} if _context(stored) is not None else set()
    yield from left_out(stored.template, stored.system, set(stored.parameters) - taken)
    if stored.others:
        yield f"left out: {', '.join(stored.others)}, which the gateway does not use"
