"""What two prompts have in common."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.sequences import common_length

TOKENS = st.lists(st.integers(0, 2), max_size=40)


@given(shared=TOKENS, a=TOKENS, b=TOKENS)
def test_the_common_beginning_is_as_long_as_a_plain_count_says(
    shared: list[int], a: list[int], b: list[int]
) -> None:
    first, second = shared + a, shared + b
    count = 0
    while count < min(len(first), len(second)) and first[count] == second[count]:
        count += 1
    assert common_length(first, second) == count
