"""Which files are opened while something is loaded, whoever opens them: inotify of Linux."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_OPENED = 0x20
_IS_FOLDER = 0x40000000
_EVENT = struct.Struct("iIII")


@contextmanager
def opened_in(root: Path) -> Iterator[set[str]]:
    """The block in which files below a folder are opened; names from there, full when it ends.

    Libraries open files outside Python (safetensors, tokenizers and llama.cpp do), which its audit
    hooks do not see and the kernel does.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        pytest.skip("only Linux tells which files are opened")
    handle = libc.inotify_init1(os.O_NONBLOCK)
    folders = {
        libc.inotify_add_watch(handle, os.fsencode(folder), _OPENED): folder
        for folder in [root, *(each for each in root.rglob("*") if each.is_dir())]
    }
    found: set[str] = set()
    try:
        yield found
        found |= set(_read(handle, folders, root))
    finally:
        os.close(handle)


def _read(handle: int, folders: dict[int, Path], root: Path) -> Iterator[str]:
    while data := _next(handle):
        at = 0
        while at < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            name = data[at : at + length].rstrip(b"\0").decode()
            at += length
            if name and not mask & _IS_FOLDER:
                yield str((folders[watch] / name).relative_to(root))


def _next(handle: int) -> bytes:
    try:
        return os.read(handle, 1 << 16)
    except BlockingIOError:
        return b""
