"""Writing entries into a models.toml; whatever else is in it, comments too, stays as it is."""

import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from gateway.core.errors import ConfigError
from gateway.core.files import write_atomically
from gateway.models.spec import ENTRY_NAME

Entry = Mapping[str, object]
"""Keys of an entry and their values; a source is a mapping of its own."""


def entries_text(entries: Mapping[str, Entry]) -> str:
    """The entries as they are written into a file."""
    document = tomlkit.document()
    _put(document, entries)
    return tomlkit.dumps(document)


def put_entries(file: Path, entries: Mapping[str, Entry]) -> None:
    """Add entries to a file, or replace those of the same name. The file is made where absent.

    Raises:
        ConfigError: a name is none, or the file does not parse; it stays as it was.
    """
    for name in entries:
        if not re.fullmatch(ENTRY_NAME, name):
            raise ConfigError(f"{name!r} cannot name an entry", hint="choose another name")
    try:
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        document = tomlkit.parse(text)
    except (TOMLKitError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{file}: no valid TOML: {exc}") from exc
    _put(document, entries)
    write_atomically(file, f"{tomlkit.dumps(document).rstrip()}\n")


def _put(document: tomlkit.TOMLDocument, entries: Mapping[str, Entry]) -> None:
    models = document.setdefault("models", tomlkit.table(is_super_table=True))
    for name, keys in entries.items():
        if name in models:
            _change(models[name], keys)
        else:
            table = tomlkit.table()
            _change(table, keys)
            table.add(tomlkit.nl())
            models[name] = table


def _change(table: MutableMapping[str, object], keys: Entry) -> None:
    """In place: a comment behind a table belongs to it for tomlkit, to the next for its reader."""
    for key in [key for key in table if key not in keys]:
        del table[key]
    for key, value in keys.items():
        held = table.get(key)
        if isinstance(value, Mapping) and isinstance(held, MutableMapping):
            _change(held, value)
        elif isinstance(value, Mapping):
            inline = tomlkit.inline_table()
            inline.update(value)
            table[key] = inline
        else:
            table[key] = value
