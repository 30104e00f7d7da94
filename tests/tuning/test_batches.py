"""What is learned together, whatever the lengths."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.tuning.batches import MICRO_TOKENS, parts, steps
from gateway.tuning.examples import AnsweredPrompt

LENGTHS = st.lists(st.integers(1, 2 * MICRO_TOKENS), min_size=1, max_size=60)


def rows(lengths: list[int]) -> list[AnsweredPrompt]:
    return [AnsweredPrompt(tuple(range(length)), ()) for length in lengths]


@given(LENGTHS, st.integers(1, 20), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_has_every_example_once_in_batches_of_one_size(
    lengths: list[int], batch: int, epoch: int, seed: int
) -> None:
    made = steps([f"i{n}" for n in range(len(lengths))], rows(lengths), epoch, batch, seed)
    assert sorted(i for step in made for i in step.examples) == list(range(len(lengths)))
    assert {len(step.examples) for step in made[:-1]} <= {batch}
    assert len(made) == -(-len(lengths) // batch)


@given(LENGTHS)
def test_a_pass_holds_no_more_than_fits_but_for_a_row_that_does_not(lengths: list[int]) -> None:
    made = rows(lengths)
    for part in parts(made, range(len(made))):
        padded = len(part) * max(len(made[i]) for i in part)
        assert padded <= MICRO_TOKENS or len(part) == 1


def test_epochs_and_seeds_have_orders_of_their_own_and_the_files_order_has_none() -> None:
    ids = [f"i{n}" for n in range(30)]
    made = rows([5] * 30)

    def order(ids: list[str], epoch: int, seed: int) -> list[str]:
        return [ids[i] for step in steps(ids, made, epoch, 30, seed) for i in step.examples]

    assert order(ids, 0, 0) == order(ids, 0, 0) == order(ids[::-1], 0, 0)
    assert len({tuple(order(ids, epoch, seed)) for epoch in (0, 1) for seed in (0, 1)}) == 4
