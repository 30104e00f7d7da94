"""Which beginnings of prompts come back: those that were announced, and those that several have.

A run asks about many items by one prompt, of which only the item's text changes. What stands before
it is the same each time, in this process and in the next one.
"""

from collections import Counter, deque
from collections.abc import Sequence

from gateway.core.sequences import common_length
from gateway.engine.context import Adapter

LEAST_TOKENS = 128
"""Of a beginning that is worth a thought."""

_ANNOUNCED = 64
_RECENT = 16
_OTHERS = 2
"""So many earlier prompts have to part from a prompt at the same token: one may do it by chance."""


class SharedBeginnings:
    """Remembers the last prompts; `announce` may be called from any thread, `place` from one."""

    def __init__(self) -> None:
        self._announced: tuple[tuple[Adapter | None, list[int]], ...] = ()
        self._recent: deque[tuple[Adapter | None, list[int]]] = deque(maxlen=_RECENT)

    def announce(self, tokens: Sequence[int], adapter: Adapter | None) -> None:
        """Say that prompts will come which begin so."""
        told = (adapter, list(tokens))
        if len(tokens) >= LEAST_TOKENS and told not in self._announced:
            self._announced = (*self._announced[1 - _ANNOUNCED :], told)

    def place(self, prompt: list[int], adapter: Adapter | None) -> int:
        """How many of a prompt's first tokens other prompts begin with; 0: no such are known."""
        earlier = [tokens for of, tokens in self._recent if of == adapter]
        self._recent.append((adapter, prompt))
        told = [
            len(tokens)
            for of, tokens in self._announced
            if of == adapter and len(tokens) < len(prompt) and prompt[: len(tokens)] == tokens
        ]
        return max(told) if told else _parting(prompt, earlier)


def _parting(prompt: list[int], earlier: list[list[int]]) -> int:
    """After how many tokens most of them go on otherwise. A prompt that only goes on where another
    ends, as a conversation does, is none of them."""
    places: Counter[int] = Counter()
    for other in earlier:
        common = common_length(prompt, other)
        if LEAST_TOKENS <= common < min(len(prompt), len(other)):
            places[common] += 1
    place, count = max(places.items(), key=lambda found: (found[1], found[0]), default=(0, 0))
    return place if count >= _OTHERS else 0
