"""What sequences of tokens have in common."""

from typing import TypeVar

Tokens = TypeVar("Tokens", list[int], tuple[int, ...])


def common_length(a: Tokens, b: Tokens) -> int:
    """Length of the common beginning. Whole stretches are compared at once, by halves."""
    same, differ = 0, min(len(a), len(b)) + 1
    while differ - same > 1:
        middle = (same + differ) // 2
        if a[same:middle] == b[same:middle]:
            same = middle
        else:
            differ = middle
    return same
