"""From an adapter's name to its folder, and never out of the root that holds them all.

What the root does not hold is looked for among the adapters that ship with the package.
"""

import re
from pathlib import Path

from gateway.core.errors import ConfigError
from gateway.models.environment import shipped

EXPORTED = "adapter.gguf"
"""The file in an adapter's folder that llama.cpp reads."""
PROBE = "probe.safetensors"
"""The file in an adapter's folder that is a probe: `gateway.models.adapters.probe`."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"


def listed(root: Path) -> tuple[str, ...]:
    """Names of the folders in the root, sorted, also of those that hold no readable adapter."""
    if not root.is_dir():
        return ()
    return tuple(
        sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    )


def shipped_beside(root: Path) -> tuple[str, ...]:
    """Names of the adapters that ship with the package, but those that the root has too."""
    own = listed(root)
    return tuple(name for name in listed(shipped("adapters")) if name not in own)


def folder_of(root: Path, name: str) -> Path:
    """The folder of an adapter, in the root or else as it ships; whether an adapter is in it is not
    looked at.

    Raises:
        ConfigError: it is no name, there is no such folder (those that exist are listed), or it is
            a link to somewhere else.
    """
    folder = new_folder(root, name)
    if name in shipped_beside(root):
        return shipped("adapters") / name
    if not folder.is_dir():
        known = ", ".join((*listed(root), *shipped_beside(root))) or "none"
        raise ConfigError(f"no adapter is called {name!r} in {root}", hint=f"known: {known}")
    if not folder.resolve().is_relative_to(root.resolve()):
        raise ConfigError(
            f"{folder}: a link that leads out of {root}", hint="copy the folder into it"
        )
    return folder


def new_folder(root: Path, name: str) -> Path:
    """Where an adapter of this name lies or would lie.

    Raises:
        ConfigError: it is no name.
    """
    if not re.fullmatch(_NAME, name):
        raise ConfigError(
            f"{name!r} cannot name an adapter",
            hint="letters, digits, '.', '_' and '-', beginning with a letter or a digit",
        )
    return root / name


def is_probe(folder: Path) -> bool:
    """Whether an adapter's folder holds a probe."""
    return (folder / PROBE).is_file()
