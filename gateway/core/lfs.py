"""Pointers of Git LFS: a few lines of text where a clone did not fetch the file itself."""

import contextlib
from pathlib import Path

from gateway.core.errors import ModelLoadError

_BEGIN = b"version https://git-lfs.github.com/spec/"
POINTER = "a pointer of Git LFS and not the file itself"
FETCH = "git lfs pull, in the clone that it lies in"


def is_pointer(path: Path) -> bool:
    """Whether a file is one. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(_BEGIN)) == _BEGIN


def refuse_pointer(path: Path) -> None:
    """Raise ModelLoadError for one. A file that cannot be read is for others to tell."""
    with contextlib.suppress(OSError):
        if is_pointer(path):
            raise ModelLoadError(f"{path}: {POINTER}", hint=FETCH)
