"""Which examples are learned together, in which order: a function of the seed and their lengths."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.core.draws import seeded_rank
from gateway.tuning.examples import AnsweredPrompt

MICRO_TOKENS = 1024
"""Tokens of a forward pass, its padding counted: keeps what backpropagation remembers small, and on
a CPU larger passes are no faster."""
ON_A_CARD = 4096
"""The same for a card, where a small pass takes no less time than a large one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the optimizer."""

    epoch: int
    parts: tuple[tuple[int, ...], ...]
    """Indices of examples; those of a part run in one pass."""

    @property
    def examples(self) -> tuple[int, ...]:
        """Of all parts."""
        return tuple(index for part in self.parts for index in part)


def steps(
    ids: Sequence[str],
    rows: Sequence[AnsweredPrompt],
    epoch: int,
    batch: int,
    seed: int,
    most: int = MICRO_TOKENS,
) -> list[Step]:
    """The steps of one epoch: every example once, in an order of its own.

    An example's place is drawn, never its length's: batches of like length would order the labels
    by length too. Within a batch the examples are sorted by length and cut into passes, so that
    little is padding.

    Args:
        ids: of the examples, which their places are drawn by.
        most: tokens of a pass.
    """
    order = sorted(range(len(ids)), key=lambda i: seeded_rank(seed, f"epoch {epoch}", ids[i]))
    cut = [order[i : i + batch] for i in range(0, len(order), batch)]
    return [Step(epoch, tuple(parts([rows[i] for i in group], group, most))) for group in cut]


def parts(
    rows: Sequence[AnsweredPrompt], names: Sequence[int], most: int = MICRO_TOKENS
) -> Iterator[tuple[int, ...]]:
    """Rows cut into passes of `most` tokens, like lengths together; a row that is longer
    has one of its own.

    Args:
        names: of the rows; what is answered consists of them.
    """
    by_length = sorted(zip(names, rows, strict=True), key=lambda pair: len(pair[1]))
    held: list[int] = []
    for name, row in by_length:
        if held and len(row) * (len(held) + 1) > most:
            yield tuple(held)
            held = []
        held.append(name)
    if held:
        yield tuple(held)
