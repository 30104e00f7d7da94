"""Beginnings of prompts on disk: what a model's memory holds after them, for the next process.

A file holds the tokens and the state of a sequence that read them and nothing else. It is found by
all that decides the state's bytes, checked by its SHA-256 before it is used, and refused where that
is another. So an answer is the same as if the beginning had been read again.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gateway.core.digests import canonical_json, digest_json
from gateway.core.kept import BEGINNING, Bytes, KeptFiles
from gateway.core.sequences import common_length
from gateway.core.sizes import available_bytes
from gateway.engine.context import Adapter

logger = logging.getLogger("gateway.engine")

_MAGIC = b"local-model-gateway beginning 1\n"
_KEPT = 2
"""Raised where files of before are not to be used: the first were written between a copy and a pass
too, and held what the sequence held before."""
_LONGEST_HEAD = 4096
_TOKEN = np.dtype("<i4")
_DIGEST_BYTES = hashlib.sha256().digest_size
_NAME_DIGITS = 24
_NEARLY = 16
"""So many tokens less are no reason to keep a beginning twice."""
_MOST_OFFERED = 256
"""So many are remembered that were written or not worth it."""
_OF_MEMORY = 4
"""A state is at most this part of the memory that is free."""

WORTH = 10
"""A beginning is kept where computing it takes so many times as long as reading it back."""
_READ_BYTES_S = 3e8
"""Bytes of a state that are read, verified and put back in a second, from a cold disk."""
_READ_S = 5e-3
"""What reading a small one takes."""


def reading_s(size: int) -> float:
    """Seconds that reading a state back takes, about."""
    return _READ_S + size / _READ_BYTES_S


Head = Mapping[str, object]
"""What a file says of itself."""


class Damaged(Exception):
    """A file does not hold what was written into it."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """One that is on disk."""

    path: Path
    adapter: str
    """As `named`."""
    tokens: list[int]


class KeptBeginnings:
    """Those of one model with its settings. All but `close` is called from one thread.

    Args:
        made_with: digest of all that decides a state's bytes, the adapter and the tokens apart.
    """

    def __init__(self, files: KeptFiles, made_with: str) -> None:
        self._files = files
        self._made_with = made_with
        self._prefix = made_with[:_NAME_DIGITS]
        self._known: dict[str, Beginning] = {}
        """By file name, what lies there."""
        self._offered: dict[str, Beginning] = {}
        """What this process has computed: it is written, or was not worth it."""
        self._seen = 0
        self._writing: list[threading.Thread] = []

    def longest(
        self, prompt: list[int], adapter: Adapter | None, *, cut: bool
    ) -> tuple[int, Beginning | None]:
        """How many of a prompt's first tokens some file holds, one left to compute; and which.

        Args:
            cut: whether a state of more tokens can be cut to them.
        """
        self._look()
        most, found = 0, None
        for kept in self._known.values():
            usable = _usable(kept, prompt, adapter, cut=cut)
            if usable > most:
                most, found = usable, kept
        return most, found

    def read(self, kept: Beginning) -> memoryview | None:
        """The state, verified; None where it is damaged, which is logged, or gone."""
        try:
            state = _state_in(kept.path.read_bytes(), self._head(kept), kept.tokens)
        except Damaged as why:
            self.refuse(kept, str(why))
        except OSError as why:
            logger.debug("%s: %s", kept.path, why)
            del self._known[kept.path.name]
        else:
            self._files.used(kept.path)
            return state
        return None

    def refuse(self, kept: Beginning, why: str) -> None:
        """Use a file no more, and remove it."""
        logger.warning("%s is not used, and removed: %s; it is computed again", kept.path, why)
        self._known.pop(kept.path.name, None)
        self._files.remove(kept.path)

    def holds(self, tokens: list[int], adapter: Adapter | None, *, cut: bool) -> bool:
        """Whether the state behind some tokens is there or was offered, or behind nearly so many;
        arguments as in `longest`.

        Where the text of an item begins otherwise, the last token before it may be another one.
        """
        self._look()
        nearly, behind = len(tokens) - _NEARLY if cut else len(tokens), [*tokens, -1]
        both = (*self._known.values(), *self._offered.values())
        return any(_usable(each, behind, adapter, cut=cut) >= nearly for each in both)

    def is_worth(self, size: int, computing_s: float) -> bool:
        """Whether to keep a state of so many bytes that takes so long to compute. While it is
        written it is in memory twice."""
        slow = computing_s >= WORTH * reading_s(size)
        return slow and self._files.takes(size) and size <= available_bytes() // _OF_MEMORY

    def offer(self, tokens: list[int], adapter: Adapter | None, state: Bytes) -> None:
        """Write a state beside the engine, which goes on; an empty one is not worth it, and not
        wanted again."""
        name = self._name(named(adapter), tokens)
        kept = Beginning(self._files.folder / name, named(adapter), tokens)
        self._offered[name] = kept
        if len(self._offered) > _MOST_OFFERED:
            del self._offered[next(iter(self._offered))]
        if state:
            thread = threading.Thread(target=self._write, args=(kept, state))
            self._writing = [each for each in self._writing if each.is_alive()] + [thread]
            thread.start()

    def close(self) -> None:
        """Wait until all is written."""
        for thread in self._writing:
            thread.join()

    def _write(self, kept: Beginning, state: Bytes) -> None:
        try:
            self._files.write(kept.path.name, _pieces(self._head(kept), kept.tokens, state))
        except OSError as why:
            # It costs time and nothing else.
            logger.warning("the beginning of a prompt is not kept for the next start: %s", why)

    def _head(self, kept: Beginning) -> Head:
        tokens = len(kept.tokens)
        return {"adapter": kept.adapter, "made_with": self._made_with, "tokens": tokens}

    def _name(self, adapter: str, tokens: list[int]) -> str:
        return f"{self._prefix}-{digest_json([adapter, tokens])[:_NAME_DIGITS]}{BEGINNING}"

    def _look(self) -> None:
        """Find what lies there, if anything came or went since."""
        try:
            changed = self._files.folder.stat().st_mtime_ns
        except OSError:
            return
        if changed != self._seen:
            self._seen = changed
            paths = sorted(self._files.folder.glob(f"{self._prefix}-*{BEGINNING}"))
            before, self._known = self._known, {}
            for path in paths:
                if kept := before.get(path.name) or self._opened(path):
                    self._known[path.name] = kept

    def _opened(self, path: Path) -> Beginning | None:
        try:
            with path.open("rb") as file:
                head, tokens = _head_of(file)
            of = str(head["adapter"])
            if head["made_with"] != self._made_with or path.name != self._name(of, tokens):
                raise Damaged("it is not what its name says")
        except OSError:
            return None
        except Damaged as why:
            self.refuse(Beginning(path, "", []), str(why))
            return None
        return Beginning(path, of, tokens)


def kept_beginnings(files: KeptFiles | None, computing: Mapping[str, str]) -> KeptBeginnings | None:
    """Where a model keeps beginnings; None: nowhere.

    Args:
        computing: all that decides the bytes of a state, the adapter and the tokens apart.
    """
    made_with = digest_json({**computing, "kept": _KEPT})
    return None if files is None else KeptBeginnings(files, made_with)


def _usable(kept: Beginning, prompt: list[int], adapter: Adapter | None, *, cut: bool) -> int:
    common = common_length(kept.tokens, prompt) if kept.adapter == named(adapter) else 0
    whole = common == len(kept.tokens) and common < len(prompt)
    return min(common, len(prompt) - 1) if cut or whole else 0


def named(adapter: Adapter | None) -> str:
    """An adapter by what it computes: its digest and scale, not where it lies in memory."""
    return "" if adapter is None else repr(adapter)


def _pieces(head: Head, tokens: list[int], state: Bytes) -> Iterator[Bytes]:
    """A file's bytes."""
    total = hashlib.sha256()
    for piece in (*_before(head, tokens), state):
        total.update(piece)
        yield piece
    yield total.digest()


def _head_of(file: BinaryIO) -> tuple[Head, list[int]]:
    """What a file says of itself, and its tokens; neither is verified.

    Raises:
        Damaged: it is none of these files.
    """
    if file.read(len(_MAGIC)) != _MAGIC:
        raise Damaged("it does not begin as such a file does")
    try:
        head = json.loads(file.readline(_LONGEST_HEAD))
        count = int(head["tokens"])
        numbers = np.frombuffer(file.read(count * _TOKEN.itemsize), dtype=_TOKEN)
        if len(numbers) != count or not {"adapter", "made_with"} <= head.keys():
            raise ValueError
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Damaged("its head cannot be read") from None
    return head, [int(number) for number in numbers]


def _state_in(data: bytes, head: Head, tokens: list[int]) -> memoryview:
    """The state in a file's bytes. Raises Damaged where they are not those that were written."""
    whole = memoryview(data)
    if hashlib.sha256(whole[:-_DIGEST_BYTES]).digest() != data[-_DIGEST_BYTES:]:
        raise Damaged("its SHA-256 is not the one that it was written with")
    before = b"".join(_before(head, tokens))
    if not data.startswith(before):
        raise Damaged("it is of other tokens or of another model")
    return whole[len(before) : -_DIGEST_BYTES]


def _before(head: Head, tokens: list[int]) -> tuple[bytes, ...]:
    """What stands before a state."""
    numbers = np.array(tokens, dtype=_TOKEN).tobytes()
    return _MAGIC, canonical_json(head).encode() + b"\n", numbers
