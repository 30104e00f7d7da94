"""What the sequences of a context hold: a cache of the beginnings of prompts.

Its bound is the context's memory, which is taken when the model is loaded and never grows. A
request takes the free sequence that holds most of its prompt, unless more would be overwritten
there than it saves: then, and among equals, it takes the one used longest ago. What was computed
with one adapter is never read by a request for another.

Where a sequence cannot be cut after any token (a recurrent model), its state is saved where a job
says that it will come back, and a sequence goes back to the nearest such place before.

A beginning that comes back is kept on disk too, where that is allowed, and read from there.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.core.sequences import common_length
from gateway.engine.context import Adapter, Context
from gateway.engine.kept_beginnings import KeptBeginnings

COPY_WORTH = 64
"""Copying another sequence's memory pays when it saves at least this many tokens, and keeping a
sequence for a later prompt when it holds so many more than are shared."""


_MOST_SAVED = 4
"""States that are kept of one sequence. A trie of labels seldom branches deeper, and then what lies
behind the last one that is kept is computed again."""


@dataclass(slots=True)
class _Held:
    tokens: list[int] = field(default_factory=list)
    saved: dict[int, bytes] = field(default_factory=dict)
    """States of a sequence that cannot be cut, by the number of tokens that they hold."""
    lasting: set[int] = field(default_factory=set)
    """Of these states, those behind a beginning that other prompts have."""
    adapter: Adapter | None = None
    last_used: int = 0
    of_prompt: int = 0
    """Of these tokens, so many were read as a prompt, and not behind one."""


class Prefixes:
    """Which tokens lie in which sequence; moves and cuts them in the context.

    Args:
        piece: where given, only whole pieces of a prompt, counted from its beginning, are reused.
        kept: beginnings on disk; None: none are read or written.
        prompts_apart: the context computes prompts otherwise than what goes on behind them, so that
            only what was read as a prompt is reused.
    """

    def __init__(
        self,
        context: Context,
        piece: int = 1,
        kept: KeptBeginnings | None = None,
        *,
        prompts_apart: bool = False,
    ) -> None:
        self._context = context
        self._piece = piece
        self._prompts_apart = prompts_apart
        self._kept = kept
        self._held = [_Held() for _ in range(context.sequences)]
        self._copying: set[int] = set()
        """Sequences between which a library copies, as llama.cpp does, when the next pass begins.
        Until then no state of theirs may be read or put."""
        self._clock = itertools.count(1)

    def claim(
        self, prompt: list[int], adapter: Adapter | None, busy: set[int], place: int = 0
    ) -> tuple[int, int]:
        """A free sequence for a prompt, and how many of the prompt's tokens it already holds.

        When another sequence, busy or worth keeping, holds much more of the prompt, its memory is
        copied; when a file does, it is read. At least the last token is left to be computed,
        because its logits are wanted.

        Args:
            place: where the state is to be kept, unless it is already; then a sequence that can be
                cut holds no more tokens than that. 0: nowhere.
        """
        free = [s for s in range(len(self._held)) if s not in busy]
        oldest = min(free, key=lambda s: self._held[s].last_used)
        chosen, reused = self._from_disk(prompt, adapter, oldest) or self._from_memory(
            self._shared(prompt, adapter), free, oldest
        )
        held = self._held[chosen]
        held.adapter = adapter
        held.last_used = next(self._clock)
        if self._context.goes_back and self.misses(prompt, adapter, place):
            # One token is left to a pass, behind which what was copied is there to be kept.
            reused = min(reused, place - (chosen in self._copying))
        reused = min(reused, len(prompt) - 1) // self._piece * self._piece
        reused -= len(self.keep(chosen, reused))
        held.of_prompt = len(prompt)
        return chosen, reused

    def _from_memory(self, shared: list[int], free: list[int], oldest: int) -> tuple[int, int]:
        """A free sequence and how much it holds, of those that hold so much each."""
        chosen = max(free, key=lambda s: (shared[s], -self._held[s].last_used))
        if self.length(chosen) >= 2 * shared[chosen] + COPY_WORTH:
            chosen = oldest
        best = max(range(len(shared)), key=lambda s: shared[s])
        if shared[best] < shared[chosen] + COPY_WORTH:
            return chosen, shared[chosen]
        source, target = self._held[best], self._held[oldest]
        self._context.copy(best, oldest)
        self._copying |= {best, oldest}
        target.tokens, target.saved = list(source.tokens), dict(source.saved)
        target.lasting, target.of_prompt = set(source.lasting), source.of_prompt
        return oldest, shared[best]

    def _from_disk(
        self, prompt: list[int], adapter: Adapter | None, sequence: int
    ) -> tuple[int, int] | None:
        """The sequence, and how much of the prompt it holds now by what a file held; None: no file
        holds much more of it than memory does."""
        if self._kept is None or sequence in self._copying:
            return None
        usable, found = self._kept.longest(prompt, adapter, cut=self._context.goes_back)
        if found is None or usable < self.longest(prompt, adapter) + COPY_WORTH:
            return None
        state = self._kept.read(found)
        if state is None:
            return None
        held = self._held[sequence] = _Held(list(found.tokens))
        if not self._context.put_state(sequence, len(held.tokens), state, adapter):
            held.tokens = []
            self._kept.refuse(found, "the model's memory does not take it")
            return None
        self._save(sequence, lasts=True)
        return sequence, usable

    def misses(self, prompt: list[int], adapter: Adapter | None, place: int) -> bool:
        """Whether the state behind so many tokens of a prompt is to be kept and is not; of none,
        it is not."""
        cut, beginning = self._context.goes_back, prompt[:place]
        if not place:
            return False
        if self._kept is not None and not self._kept.holds(beginning, adapter, cut=cut):
            return True
        return not cut and self.longest([*beginning, -1], adapter) < place

    def keep_beginning(self, sequence: int, token_s: float) -> None:
        """Keep what a sequence holds now, which other prompts begin with too.

        Args:
            token_s: seconds that computing one token takes.
        """
        self._save(sequence, lasts=True)
        held, cut = self._held[sequence], self._context.goes_back
        if self._kept is None or sequence in self._copying:
            return
        if self._kept.holds(held.tokens, held.adapter, cut=cut):
            return
        count = len(held.tokens)
        expected = self._context.memory.cache * count // (self._context.length * len(self._held))
        worth = self._kept.is_worth(expected, token_s * count)
        state = self._context.state_of(sequence, count) if worth else b""
        self._kept.offer(list(held.tokens), held.adapter, state)

    def longest(self, prompt: list[int], adapter: Adapter | None) -> int:
        """How many of a prompt's first tokens lie in some sequence, busy or free."""
        return max(self._shared(prompt, adapter))

    def _shared(self, prompt: list[int], adapter: Adapter | None) -> list[int]:
        return [self._usable(held, prompt) if held.adapter == adapter else 0 for held in self._held]

    def _usable(self, held: _Held, prompt: list[int]) -> int:
        """How many of a prompt's first tokens need not be computed again."""
        common = common_length(held.tokens, prompt)
        if self._prompts_apart:
            common = min(common, held.of_prompt)
        whole = common == len(held.tokens) and common < len(prompt)
        if self._context.goes_back or whole:
            return common
        return max((n for n in held.saved if n <= common and n < len(prompt)), default=0)

    def keep(self, sequence: int, length: int) -> list[int]:
        """Cut a sequence to its first tokens.

        Returns:
            Those among them that were lost and are to be computed again: where the memory cannot
            go back, all behind the last state that was saved; else none.
        """
        held = self._held[sequence]
        if length >= len(held.tokens):
            return []
        held.saved = {n: state for n, state in held.saved.items() if n <= length}
        held.of_prompt = min(held.of_prompt, length)
        kept = length if self._context.truncate(sequence, length) else self._go_back(sequence)
        lost = held.tokens[kept:length]
        del held.tokens[kept:]
        return lost

    def forget(self, sequence: int) -> None:
        """Make a sequence empty, whatever a pass that failed has left there."""
        self.keep(sequence, 0)
        self._context.truncate(sequence, 0)

    def _go_back(self, sequence: int) -> int:
        """To the last state that was saved; returns how many tokens it holds."""
        saved = self._held[sequence].saved
        if saved:
            last = max(saved)
            if self._context.restore(sequence, last, saved[last]):
                return last
            saved.clear()
        self._context.truncate(sequence, 0)
        return 0

    def save(self, sequence: int) -> None:
        """Keep the state that a sequence has now, where it could not go back to it."""
        self._save(sequence, lasts=False)

    def _save(self, sequence: int, *, lasts: bool) -> None:
        if self._context.goes_back:
            return
        held = self._held[sequence]
        held.saved[len(held.tokens)] = self._context.save(sequence)
        if lasts:
            held.lasting.add(len(held.tokens))
        others = sorted(held.saved.keys() - held.lasting)
        if len(others) > _MOST_SAVED:
            # The first is behind the prompt, which is the longest way to compute again.
            del held.saved[others[1]]

    def length(self, sequence: int) -> int:
        """How many tokens a sequence holds."""
        return len(self._held[sequence].tokens)

    def add(self, sequence: int, tokens: Sequence[int]) -> None:
        """Note what a pass has computed."""
        self._copying.clear()
        self._held[sequence].tokens += tokens

    def leave(self, sequence: int, prompt: Sequence[int]) -> None:
        """A request is done with the sequence. In pieces, only the prompt's whole ones stay."""
        if self._piece > 1:
            held = self._held[sequence]
            # The others are of no whole piece.
            held.saved = {n: state for n, state in held.saved.items() if n in held.lasting}
            whole = min(len(prompt), self.length(sequence))
            self.keep(sequence, whole // self._piece * self._piece)
