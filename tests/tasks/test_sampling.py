from hypothesis import given
from hypothesis import strategies as st

from gateway.core.draws import seeded_rank
from gateway.tasks.sampling import stratified_sample
from gateway.tasks.task import Item


def items(labels: list[str]) -> list[Item]:
    return [Item(f"i{n}", {}, label, n, str(n)) for n, label in enumerate(labels)]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(1, 70))
def test_a_sample_has_its_size_and_each_label_its_share(labels: list[str], count: int) -> None:
    population = items(labels)
    sample = stratified_sample(population, count, seed=0)
    assert len(sample) == min(count, len(population))
    assert [i for i in population if i in sample] == sample
    for label in "abc":
        share = min(count, len(labels)) * labels.count(label) / len(labels)
        assert abs(sum(i.gold == label for i in sample) - share) < 1


@given(st.permutations(items(list("aabbbbcc"))))
def test_the_order_of_the_file_chooses_nothing(shuffled: list[Item]) -> None:
    population = items(list("aabbbbcc"))
    want = {i.id for i in stratified_sample(population, 5, seed=3)}
    assert {i.id for i in stratified_sample(shuffled, 5, seed=3)} == want


def test_a_place_never_changes() -> None:
    assert seeded_rank(0, "limit", "x").hex().startswith("b3de35cbcc0aa1fb")
    assert seeded_rank(0, "limit", "x") != seeded_rank(1, "limit", "x")
    assert seeded_rank(0, "limit", "x") != seeded_rank(0, "dev", "x")
