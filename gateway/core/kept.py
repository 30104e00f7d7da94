"""A folder of files that can be made again: kept because that takes longer than reading them.

Each is written whole or not at all, and only its owner can read it. Where all together take more
than they may, those used longest ago are removed. Several processes may share the folder.
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

Bytes = bytes | bytearray | memoryview

BEGINNING = ".beginning"
"""How the name of the state behind a prompt's beginning ends."""
WEIGHTS = ".weights"
"""How the name of weights ends that were written in another form."""

_UNFINISHED = ".writing-"
"""How the name of a file begins that is being written."""
_GIVEN_UP_S = 3600.0
"""After so many seconds nobody goes on writing one."""
_SHARE = 2
"""One file takes at most this part of the bound, and of what is free on the disk."""


class KeptFiles:
    """The files of one folder, which is made when the first is written.

    Args:
        most_bytes: that all together may take.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self.most_bytes = most_bytes

    def takes(self, size: int) -> bool:
        """Whether a file of so many bytes is kept at all."""
        above = next(each for each in (self.folder, *self.folder.parents) if each.exists())
        free = shutil.disk_usage(above).free
        return size <= min(self.most_bytes, free) // _SHARE

    def write(self, name: str, pieces: Iterable[Bytes]) -> Path:
        """Keep a file, in place of one of the same name; remove what is then too much.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made, unfinished = self.folder / name, self.unfinished(name)
        try:
            with open(
                os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as file:
                for piece in pieces:
                    file.write(piece)
            os.replace(unfinished, made)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        self.trim()
        return made

    def unfinished(self, name: str) -> Path:
        """A name to write a file under before it has its own; no other process has the same."""
        return self.folder / f"{_UNFINISHED}{secrets.token_hex(8)}-{name}"

    def used(self, path: Path) -> None:
        """Note that a file was used now, so that others are removed before it."""
        with contextlib.suppress(OSError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    def remove(self, path: Path) -> None:
        """Remove one; it may be gone already."""
        with contextlib.suppress(OSError):
            path.unlink()

    def trim(self) -> None:
        """Remove those used longest ago, as many as are too much, and what was never finished."""
        total = 0
        for used, size, path in sorted(self._found(), reverse=True):
            if not path.name.startswith(_UNFINISHED):
                total += size
                superfluous = total > self.most_bytes
            else:
                superfluous = used < time.time() - _GIVEN_UP_S
            if superfluous:
                self.remove(path)

    def sizes(self, ending: str) -> Sequence[int]:
        """Bytes of each file of one kind."""
        return [size for _, size, path in self._found() if path.name.endswith(ending)]

    def clear(self) -> None:
        """Remove all. Who reads one at the moment is not disturbed."""
        for _, _, path in self._found():
            self.remove(path)

    def _found(self) -> list[tuple[float, int, Path]]:
        """When each file was used last, its bytes, and where it is; of other people's files in the
        folder, nothing."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.scandir(self.folder):
                if not entry.name.endswith((BEGINNING, WEIGHTS)):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    told = entry.stat(follow_symlinks=False)
                    found.append((max(told.st_atime, told.st_mtime), told.st_size, Path(entry)))
        return found
