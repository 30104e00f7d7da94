"""Files: read with what is wrong as an error, written whole or not at all, the same or another."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gateway.core.errors import DataError

_TICK_NS = 12_000_000
"""More than a tick of the clocks that file systems take, 10 ms or 4 ms on Linux."""


def read_text(path: Path, *, exact: bool = False, hint: str = "") -> str:
    """The text of a file.

    Args:
        exact: line ends as they are, not each as one newline.
        hint: what to do where the file cannot be read.

    Raises:
        DataError: it cannot be read, or is no UTF-8.
    """
    try:
        with path.open(encoding="utf-8", newline="" if exact else None) as file:
            return file.read()
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror}", hint=hint) from exc
    except UnicodeDecodeError as exc:
        raise DataError(
            f"{path}: byte {exc.start} is no UTF-8",
            hint="save the file as UTF-8, for example: iconv -f latin1 -t utf-8",
        ) from exc


@contextmanager
def reading_bytes(path: Path, *, hint: str = "") -> Iterator[BinaryIO]:
    """A file to be read in parts, of one that is too large to be held twice.

    Args:
        hint: what to do where the file cannot be read.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield file
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror}", hint=hint) from exc


def write_atomically(path: Path, text: str | Iterable[str]) -> None:
    """Write a text file so that a reader, or a kill, never meets half of it.

    Args:
        text: or the parts of one that is too large to be held twice.
    """
    import secrets

    path.parent.mkdir(parents=True, exist_ok=True)
    # Not mkstemp, whose files only their owner can read: a report is to be passed on.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.writelines([text] if isinstance(text, str) else text)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def stamps(paths: Iterable[Path]) -> str:
    """Those of several files, such that whoever writes into one from now on changes them.

    A clock of the system goes in ticks, of which two writes can share one: a file that was written
    a moment ago is given the time of a tick.
    """
    found = [*paths]
    ages = [time.time_ns() - path.stat().st_ctime_ns for path in found]
    if 0 <= (youngest := min(ages, default=_TICK_NS)) < _TICK_NS:
        time.sleep((_TICK_NS - youngest) / 1e9)
    return "|".join(map(stamp, found))


def settled_stamp(path: Path) -> str:
    """The stamp of a file; empty where it was written a moment ago, so that another write could
    leave it as it is.

    Raises:
        OSError: there is no such file.
    """
    age = time.time_ns() - path.stat().st_ctime_ns
    # A file server's clock may be ahead of this one.
    return "" if age < _TICK_NS else stamp(path)


def stamp(path: Path) -> str:
    """What tells a file from another of the same name without reading it: size, times, inode.

    `cp -p` and `touch -d` keep size and modification time; the time of the inode's last change
    (ctime) cannot be set by them.

    Raises:
        OSError: there is no such file.
    """
    found = path.stat()
    times = f"{found.st_mtime_ns}.{found.st_ctime_ns}"
    return f"{found.st_size}.{times}.{found.st_dev}.{found.st_ino}"
