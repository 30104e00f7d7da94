"""Facts about clusters: who belongs together, and when too few of them are left."""

from gateway.scoring.clusters import numbered, together, too_few


def test_items_of_one_cluster_have_one_number_and_others_their_own() -> None:
    found = numbered(["d", "a", "c", "b"], {"a": "x", "c": "x", "b": "", "d": "y"})
    assert found is not None
    assert found.tolist() == [0, 1, 0, 2]


def test_where_each_item_is_its_own_there_are_no_clusters() -> None:
    assert numbered(["a", "b"], {"a": "x", "b": "y"}) is None
    assert numbered(["a", "b"], {}) is None


def test_an_item_is_never_of_the_cluster_that_is_called_as_it_is() -> None:
    assert numbered(["a", "b"], {"b": "a"}) is None


def test_fewer_than_ten_clusters_are_said_to_be_too_few() -> None:
    ids = [f"{i:02}" for i in range(20)]
    nine = numbered(ids, {name: str(i % 9) for i, name in enumerate(ids)})
    ten = numbered(ids, {name: str(i % 10) for i, name in enumerate(ids)})
    assert "9 clusters, fewer than 10: no interval" in too_few(nine)
    assert too_few(ten) == too_few(None) == ""
    assert together(ten).startswith("20 of 20 items are copies of others or share a cluster")
