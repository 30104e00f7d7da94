"""A chat template in an adapter's folder: trainers leave one there, and no entry reads it."""

import json
from pathlib import Path

from gateway.models.adapters.folder import CONFIG

_FILE, _CONFIG = "chat_template.jinja", "tokenizer_config.json"


def own_template(folder: Path) -> tuple[Path, str] | None:
    """The file that an adapter's chat template is in, and its text; None: the folder has none, or
    holds no adapter.

    Of several named templates the one called default counts.
    """
    if not (folder / CONFIG).is_file():
        return None
    try:
        if (file := folder / _FILE).is_file():
            return file, file.read_text(encoding="utf-8")
        file = folder / _CONFIG
        found = json.loads(file.read_text(encoding="utf-8")).get("chat_template")
    except (OSError, ValueError, AttributeError):
        return None
    if isinstance(found, list):
        named = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = named.get("default")
    return (file, found) if isinstance(found, str) and found else None


def unused_template(folder: Path, used: str | None) -> tuple[str, ...]:
    """What an entry is told of it, in one sentence; nothing where it is the one that is used."""
    found = own_template(folder)
    if found is None or found[1].strip() == (used or "").strip():
        return ()
    file, _ = found
    take = "save it to a file, and name that" if file.name == _CONFIG else f'"{file}"'
    return (
        f"it was saved with another chat template ({file.name}), which is not used; chat_template "
        f"in the entry takes it: {take}",
    )
