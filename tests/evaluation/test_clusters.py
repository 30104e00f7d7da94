"""Facts about the clusters of a run: found, kept, read again, and never taken for granted."""

from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, DataError
from gateway.evaluation.clusters import clusters_of_saved, found_among, read_clusters
from gateway.evaluation.predictions import SavedPredictions
from gateway.tasks.task import Item

TEXT = "the page crashes whenever someone scrolls to the very end of the list"


def item(name: str, text: str, cluster: str = "") -> Item:
    return Item(name, {"text": text}, "bug", None, f"digest of {text}", cluster=cluster)


def test_copies_and_near_copies_are_one_cluster_and_said_to_be() -> None:
    items = [
        item("a", TEXT),
        item("b", TEXT.upper()),
        item("c", TEXT + " please"),
        item("d", "another thing altogether is wrong with printing"),
    ]
    found, said = found_among(items)
    assert found["a"] == found["b"] == found["c"]
    assert "d" not in found
    assert said == "2 of 4 items, by near-copies"


def test_what_a_column_or_a_copy_connects_is_one_cluster() -> None:
    items = [
        item("a", TEXT, "ann"),
        item("b", TEXT, "bob"),
        item("c", "printing is slow", "bob"),
        item("d", "colours look odd at night"),
        item("e", "search finds nothing in archives"),
    ]
    found, said = found_among(items, "author")
    assert found["a"] == found["b"] == found["c"]
    assert found.keys() == {"a", "b", "c"}
    assert said == "3 of 5 items, by author and near-copies; 2 items have no author"


def test_a_run_that_kept_no_texts_is_not_checked_but_same_items_are_one() -> None:
    saved = SavedPredictions({}, {"a": "x", "b": "x", "c": "y"})
    clusters, said = clusters_of_saved(saved, {}, None)
    assert clusters is not None
    assert clusters.tolist() == [0, 0, 1]
    assert any("were not checked" in each for each in said)
    assert any("fewer than 10" in each for each in said)


def test_a_run_that_was_checked_goes_by_what_was_found() -> None:
    saved = SavedPredictions({}, {"a": "x", "b": "y"}, {})
    assert clusters_of_saved(saved, {"clusters": "2 of 2 items"}, None) == (None, ())


def test_a_table_of_clusters_is_read_by_its_columns(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("item_id,group,other\na,g,1\nb,g,2\n", "utf-8")
    assert read_clusters(f"{table}:group", ["a", "b"]) == {"a": "g", "b": "g"}
    with pytest.raises(ConfigError, match="one of clusters"):
        read_clusters(str(table), ["a"])
    with pytest.raises(DataError, match="1 item has no row"):
        read_clusters(f"{table}:group", ["a", "c"])
