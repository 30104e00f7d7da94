"""Ways to cut and batch the same tokens, and whether any changes a bit of a row's logits.

What a row may meet in a server: every number of rows in a pass, a short tail behind a long prefix,
a prefix cut at every place, other sequences beside it, another number of threads, an adapter. Each
row's logits are compared with those of one row a pass, as digests of all their bytes.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator

import numpy as np

from gateway.backends.llama_cpp.tiled import TILE
from gateway.engine.context import OUTPUTS_PER_PASS, Adapter, Context, PassRow
from gateway.models.choices import PlanTrial, Settings

SEQUENCES = 8
"""Of the context that plans are run in."""
BEHIND = 512
"""Tokens of the long prefix: behind so many, a library may take another kernel for a single row."""
_TAIL = 64
_TAILS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64)
_PIECES = (1, 2, 3, 5, 8, 13, 16, 31)
_FEW = 9
"""Numbers of rows from 1 on that are tried again with an adapter, and on one thread."""
_SEED = 0
_SHORT = 32
"""Tokens of a prompt behind which all the others are said to follow on it."""

Passed = Callable[[int], None]
"""Told the rows of each pass."""


def length_for(rows: int) -> int:
    """Tokens of a sequence that the plans read at most."""
    return max(rows, BEHIND) + _TAIL


def total_rows(rows: int, settings: Settings) -> int:
    """Rows that all plans feed, about: for whoever shows how far they are."""
    most = rows_tried(settings, rows)
    once = most * (most + 1) // 2 + 13 * most + length_for(most) + 1_400
    return once * len(readings(settings, length_for(most)))


def rows_tried(settings: Settings, rows: int) -> int:
    """Most rows of one pass, where an entry asks for so many: tiled attention takes a whole tile
    also where it is asked for fewer."""
    return max(rows, TILE) if settings.attention == "tiled" else rows


def readings(settings: Settings, length: int) -> dict[str, int]:
    """How often all plans are gone through: what to call it, and how many tokens are a prompt's.

    Tiled attention computes a prompt otherwise than what follows on it; others do not ask.

    Args:
        length: of the text, in tokens. Of a short one half is the prompt.
    """
    if settings.attention != "tiled":
        return {"": 0}
    short = min(_SHORT, length // 2)
    return {" of a prompt": sys.maxsize, f" behind a prompt of {short}": short}


class Reading:
    """Reads one text in any sequence, from any place, and compares what comes of each row.

    What was never seen before is the reference for what comes later.

    Args:
        prompt: how many of the text's first tokens are said to be a prompt's.
    """

    def __init__(self, context: Context, vocabulary: int, on_pass: Passed, prompt: int = 0) -> None:
        self.context = context
        self._prompt = prompt
        draw = np.random.default_rng(_SEED)
        self._text = draw.integers(0, vocabulary, context.length).tolist()
        self._known: dict[tuple[Adapter | None, int], bytes] = {}
        self._on_pass = on_pass
        self.adapter: Adapter | None = None

    @property
    def digest(self) -> str:
        """Of all logits that were seen, by adapter and position."""
        total = hashlib.sha256()
        with_it = {
            (position, adapter is not None): d for (adapter, position), d in self._known.items()
        }
        for place in sorted(with_it):
            total.update(f"{place} ".encode() + with_it[place])
        return total.hexdigest()

    def read(self, *pieces: tuple[int, int, int]) -> tuple[int, int]:
        """One pass over (sequence, first position, tokens); every second row from the end on gives
        its logits.

        Returns:
            How many rows were compared with earlier ones, and how many differ from them.
        """
        places = [
            (sequence, position, (start + count - position) % 2 == 1)
            for sequence, start, count in pieces
            for position in range(start, start + count)
        ]
        # Kernels for what is left over behind whole blocks of rows meet the last ones.
        heard = [number for number, (*_, wanted) in enumerate(places) if wanted][-OUTPUTS_PER_PASS:]
        rows = [
            self._row(sequence, position, number in heard)
            for number, (sequence, position, _) in enumerate(places)
        ]
        found = self.context.decode(rows)
        self._on_pass(len(rows))
        where = [rows[number].position for number in heard]
        return self._compared(where, [hashlib.sha256(row.data).digest() for row in found])

    def _row(self, sequence: int, position: int, output: bool) -> PassRow:
        token, prompt = self._text[position], position < self._prompt
        return PassRow(sequence, position, token, output, self.adapter, prompt)

    def _compared(self, where: list[int], found: list[bytes]) -> tuple[int, int]:
        compared = changed = 0
        for position, digest in zip(where, found, strict=True):
            known = self._known.setdefault((self.adapter, position), digest)
            compared += 1
            changed += known != digest
        return compared, changed

    @property
    def end(self) -> int:
        """Of the long prefix; behind it there is room for the tails."""
        return self.context.length - min(_TAIL, self.context.length // 4)

    def clear(self) -> None:
        """Forget all sequences."""
        for sequence in range(self.context.sequences):
            self.context.truncate(sequence, 0)


_Passes = Iterator[tuple[int, int]]


def run_plans(
    reading: Reading, rows: int, adapter: Adapter | None, other: Context | None = None
) -> Iterator[PlanTrial]:
    """The plans one after the other; the last is the first in which a byte changed.

    Args:
        rows: most rows of one pass.
        adapter: run some of them with it too; None: there is none.
        other: of another number of threads, for some of them; None: there is none.
    """
    for name, passes in _plans(reading, rows, adapter, other):
        made = _counted(name, passes)
        yield made
        if made.changed:
            return


def _plans(
    reading: Reading, rows: int, adapter: Adapter | None, other: Context | None
) -> Iterator[tuple[str, _Passes]]:
    """What takes seconds comes first, and what takes most of the time last."""
    yield "one row a pass", _one_by_one(reading, rows)
    yield "some numbers of rows", _every_number(reading, _some(rows))
    yield "beside other sequences", _beside(reading, rows)
    yield f"tails behind {reading.end} tokens", _tails(reading, rows)
    yield "cut at every place", _cuts(reading, rows)
    if other is not None:
        usual, reading.context = reading.context, other
        yield "on one thread", _every_number(reading, _some(rows))
        reading.context = usual
    if adapter is not None:
        reading.adapter = adapter
        yield "with the adapter, one row a pass", _one_by_one(reading, min(rows, _TAIL))
        yield "with the adapter, in passes of several", _every_number(reading, _some(rows))
        yield "with the adapter, beside other sequences", _beside(reading, rows)
        reading.adapter = None
    numbers = range(1, rows + 1)
    yield f"every number of rows from 1 to {rows}", _every_number(reading, numbers)


def _counted(name: str, passes: _Passes) -> PlanTrial:
    total = changed = 0
    for compared, differ in passes:
        total, changed = total + compared, changed + differ
        if changed:
            break
    return PlanTrial(name, total, changed)


def _some(rows: int) -> list[int]:
    return sorted({min(n, rows) for n in (*range(1, _FEW + 1), 31, 32, 33, rows - 1, rows) if n})


def _one_by_one(reading: Reading, rows: int) -> _Passes:
    reading.clear()
    for position in range(rows):
        yield reading.read((0, position, 1))


def _every_number(reading: Reading, numbers: "range | list[int]") -> _Passes:
    for count in numbers:
        reading.clear()
        yield reading.read((0, 0, count))


def _prefix(reading: Reading, rows: int) -> _Passes:
    """Reads the long prefix, in whole passes."""
    reading.clear()
    for start in range(0, reading.end, rows):
        yield reading.read((0, start, min(rows, reading.end - start)))


def _tails(reading: Reading, rows: int) -> _Passes:
    """In the sequence of the prefix, and in one that it was copied to."""
    yield from _prefix(reading, rows)
    context, end = reading.context, reading.end
    for position in range(end, context.length):
        yield reading.read((0, position, 1))
    most = min(rows, context.length - end)
    for count in (n for n in _TAILS if n <= (most if context.goes_back else min(most, _FEW))):
        if not context.truncate(0, end):
            yield from _prefix(reading, rows)
        sequence = count % 2
        if sequence:
            context.copy(0, 1)
        yield reading.read((sequence, end, count))


def _cuts(reading: Reading, rows: int) -> _Passes:
    """From the last place to the first, so that nothing has to be read again. A state that cannot
    be cut is read anew for some places."""
    if not reading.context.goes_back:
        for place in (n for n in _TAILS if n < rows):
            reading.clear()
            yield reading.read((0, 0, place))
            yield reading.read((0, place, min(place, rows - place)))
        return
    yield from _prefix(reading, rows)
    behind = range(reading.end, max(reading.end - _TAIL, rows), -1)
    for place in [*behind, *range(rows - 1, 0, -1)]:
        reading.context.truncate(0, place)
        yield reading.read((0, place, place % 4 + 1))


def _beside(reading: Reading, rows: int) -> _Passes:
    """Sequences at different places of the text, one row or several of each in a pass."""
    reading.clear()
    count = min(reading.context.sequences, rows)
    at = dict.fromkeys(range(count), 0)
    for turn, first in enumerate((*_PIECES, *[1] * count)):
        others = count - 1 if turn < len(_PIECES) else turn - len(_PIECES)
        room = min(rows - others, reading.context.length - at[0])
        pieces = [(0, at[0], max(min(first, room), 1))]
        pieces += [(other, at[other], 1) for other in range(1, others + 1)]
        yield reading.read(*pieces)
        for sequence, _, fed in pieces:
            at[sequence] += fed
