"""Which kind of probe lies in an adapter's folder, told by the head of its file."""

import json
from pathlib import Path
from typing import Literal, get_args

from gateway.core.errors import ConfigError, ModelLoadError
from gateway.models.adapters.names import PROBE
from gateway.models.shards import header_of

ProbeKind = Literal["probe", "number_probe"]
"""Key of the metadata under which the file says what its numbers mean."""
FORM = 1


def probe_kind(folder: Path) -> ProbeKind:
    """Of labels, or of numbers.

    Raises:
        ModelLoadError: there is none, or the file is cut off.
        ConfigError: it is of no form that this version reads.
    """
    said = header_of(folder / PROBE).get("__metadata__", {})
    kind: ProbeKind
    for kind in get_args(ProbeKind):
        if _form(said.get(kind)) == FORM:
            return kind
    raise ConfigError(
        f"{folder / PROBE}: no probe that this version reads", hint="make it again: gateway tune"
    )


def answers_with_numbers(folder: Path) -> bool:
    """Whether the probe in a folder is one of numbers; False too where it cannot be read."""
    try:
        return probe_kind(folder) == "number_probe"
    except (ConfigError, ModelLoadError):
        return False


def _form(said: object) -> object:
    try:
        about = json.loads(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return about.get("form") if isinstance(about, dict) else None
