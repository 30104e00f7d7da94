"""What the scheduler needs of whatever computes: memory for sequences, and forward passes."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.core.kept import Bytes

Logits = NDArray[np.float32]
"""Shape (outputs, vocabulary)."""

OUTPUTS_PER_PASS = 64
"""Most positions whose logits one forward pass returns: 64 x 262,144 floats are 67 MB."""

Adapter = Hashable
"""What a token is computed with, beside the weights. Equal ones compute the same."""


@dataclass(frozen=True, slots=True)
class PassRow:
    """One token to be fed."""

    sequence: int
    position: int
    token: int
    output: bool
    adapter: Adapter | None = None
    """None: the base model alone."""
    prompt: bool = False
    """Part of a prompt, not of what goes on behind it; some contexts compute the two otherwise."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a context has taken, in bytes."""

    cache: int
    """Keys and values of all sequences; this is also the cache of prompts' beginnings."""
    scratch: int
    """For the intermediate values of a pass and its logits."""
    state: int = 0
    """Of the cache, what does not grow with the tokens: the states of recurrent layers."""


class Context(Protocol):
    """Memory for some sequences. Everything is called from one thread only, the engine's."""

    sequences: int
    length: int
    """Tokens of one sequence."""
    batch_tokens: int
    """Most tokens in one forward pass."""
    mixes_adapters: bool
    """Whether the rows of one pass may have different adapters."""
    goes_back: bool
    """Whether a sequence can be cut after any of its tokens. A state that all tokens went into
    cannot: there one goes back to where it was saved."""
    memory: Memory

    def decode(self, rows: Sequence[PassRow]) -> Sequence[Logits]:
        """One forward pass.

        Returns:
            The logits, shape (vocabulary,), of each row with `output`, in order. They may be views
            that the next call overwrites.

        Raises:
            BackendError: the pass failed; the sequences it touched are no longer to be trusted.
        """
        ...

    def truncate(self, sequence: int, length: int) -> bool:
        """Keep the first `length` tokens of a sequence; False where the memory cannot do it."""
        ...

    def save(self, sequence: int) -> bytes:
        """The state of a sequence that cannot be cut, as it is now."""
        ...

    def restore(self, sequence: int, length: int, saved: bytes) -> bool:
        """Cut a sequence to the length at which its state was saved; False where the memory cannot
        do it, and then the sequence holds nothing that may be relied on."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Make `target` hold what `source` holds, at the latest when the next pass begins."""
        ...

    def state_of(self, sequence: int, length: int) -> Bytes:
        """All that a sequence of so many tokens holds, for a context of another process that is
        made alike; empty where that cannot be told. Not asked between a copy and a pass."""
        ...

    def put_state(self, sequence: int, length: int, state: Bytes, adapter: Adapter | None) -> bool:
        """Make a sequence hold what one of so many tokens held, computed with this adapter.

        Returns:
            False where it is none of this context's, and then the sequence holds nothing.
        """
        ...

    def close(self) -> None:
        """Free the memory."""
        ...
