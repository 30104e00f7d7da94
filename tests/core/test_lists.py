from gateway.core.lists import are, first_of, part_of, plural


def test_one_is_one_and_all_else_are_many() -> None:
    assert [plural(n, "item") for n in (0, 1, 2, 1234)] == [
        "0 items",
        "1 item",
        "2 items",
        "1,234 items",
    ]
    assert are(1, "item") == "1 item is"
    assert are(2, "item", "has", "have") == "2 items have"
    assert part_of(1, 40, "item", "has", "have") == "1 of 40 items has"
    assert part_of(3, 40, "item", "has", "have") == "3 of 40 items have"


def test_the_first_are_named_and_the_others_counted() -> None:
    assert first_of(["a", "b"], 2) == "a, b"
    assert first_of(["a", "b", "c"], 2) == "a, b and 1 more"
