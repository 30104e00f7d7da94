"""How many bytes loaded models take together, and whether another one fits beside them.

Before an entry is loaded for the first time, nothing is known but the size of its file; what it
takes beside its weights is known from then on. Entries on one file count its bytes once. All else
is counted for each entry, also where two share it (a base model and its adapter share their
cache), so that the sum is never below what is taken.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.core.types import MemoryUse
from gateway.models.gguf_parts import files_of


@dataclass(frozen=True, slots=True)
class Need:
    """What one entry takes, in bytes."""

    file: Hashable
    """Whoever has the same shares its weights."""
    weights: int
    own: int
    """Cache and scratch; 0 before the first loading has told."""

    @property
    def alone(self) -> int:
        """With no other entry to share with."""
        return self.weights + self.own


def expected(name: str, path: Path) -> Need:
    """Of an entry that was never loaded: its file.

    Args:
        name: the entry's, which shares with nobody where it has no file.
        path: the weights; links to one file are one file.
    """
    if not path.is_file():
        return Need(name, 0, 0)
    found = path.stat()
    size = sum(file.stat().st_size for file in files_of(path))
    return Need((found.st_dev, found.st_ino), size, 0)


def measured(before: Need, memory: MemoryUse) -> Need:
    """Of an entry that is loaded. The file's size stands where the backend says less: what it
    does not count is mapped all the same."""
    weights = max(before.weights, memory.weights)
    return Need(before.file, weights, memory.cache + memory.scratch)


def together(needs: Iterable[Need]) -> int:
    """Bytes that several entries take, each file's weights counted once."""
    weights: dict[Hashable, int] = {}
    own = 0
    for need in needs:
        own += need.own
        weights[need.file] = max(need.weights, weights.get(need.file, 0))
    return own + sum(weights.values())
