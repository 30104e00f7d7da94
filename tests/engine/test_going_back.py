"""Sequences that cannot be cut: they go back to where a job said that it would come back."""

from collections.abc import Sequence

from gateway.engine.context import Logits, Memory, PassRow
from gateway.engine.prefixes import COPY_WORTH, Prefixes


class Recurrent:
    """Holds tokens' numbers; what was not saved cannot be gone back to."""

    mixes_adapters = goes_back = False
    length, batch_tokens = 1000, 100
    memory = Memory(0, 0)

    def __init__(self, sequences: int = 1) -> None:
        self.sequences = sequences
        self.held = [0] * sequences
        self.restored: list[int] = []

    def decode(self, rows: Sequence[PassRow]) -> list[Logits]:
        raise NotImplementedError

    def truncate(self, sequence: int, length: int) -> bool:
        if 0 < length < self.held[sequence]:
            return False
        self.held[sequence] = min(length, self.held[sequence])
        return True

    def save(self, sequence: int) -> bytes:
        return str(self.held[sequence]).encode()

    def restore(self, sequence: int, length: int, saved: bytes) -> bool:
        assert saved == str(length).encode()
        self.held[sequence] = length
        self.restored.append(length)
        return True

    def copy(self, source: int, target: int) -> None:
        self.held[target] = self.held[source]

    def state_of(self, sequence: int, length: int) -> bytes:
        raise NotImplementedError

    def put_state(self, sequence: int, length: int, state: object, adapter: object) -> bool:
        raise NotImplementedError

    def close(self) -> None: ...


def add(prefixes: Prefixes, context: Recurrent, tokens: list[int], sequence: int = 0) -> None:
    prefixes.add(sequence, tokens)
    context.held[sequence] += len(tokens)


def test_what_was_saved_is_gone_back_to_and_only_what_lies_behind_is_lost() -> None:
    context = Recurrent()
    prefixes = Prefixes(context)
    add(prefixes, context, [1, 2, 3, 4])
    prefixes.save(0)
    add(prefixes, context, [5, 6, 7])
    assert prefixes.keep(0, 4) == []
    add(prefixes, context, [8, 9, 10])
    assert prefixes.keep(0, 6) == [8, 9]
    assert (context.restored, context.held) == ([4, 4], [4])
    assert prefixes.keep(0, 3) == [1, 2, 3]
    assert context.held == [0]


def test_the_state_behind_the_prompt_outlives_those_of_deeper_branches() -> None:
    context = Recurrent()
    prefixes = Prefixes(context)
    for number in range(8):
        add(prefixes, context, [number])
        prefixes.save(0)
    add(prefixes, context, [99])
    assert prefixes.keep(0, 5) == [1, 2, 3, 4]
    assert prefixes.keep(0, 1) == []


def test_a_prompt_goes_on_from_a_saved_state_and_from_nothing_else() -> None:
    context = Recurrent(2)
    prefixes = Prefixes(context)
    shared = list(range(COPY_WORTH + 10))
    sequence, cached = prefixes.claim([*shared, -1], None, set())
    assert cached == 0
    add(prefixes, context, shared, sequence)
    prefixes.save(sequence)
    add(prefixes, context, [-1, -2], sequence)
    other, reused = prefixes.claim([*shared, -3], None, {sequence})
    assert (other != sequence, reused) == (True, len(shared))
    assert prefixes.claim([*shared[:-1], -4], None, {other})[1] == 0
