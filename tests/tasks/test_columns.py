import pytest

from gateway.core.errors import DataError
from gateway.tasks.columns import find_column
from gateway.tasks.tables import Row, Table

ISSUE = {
    "fields": {"summary": "It crashes", "parent": None, "a.b": 1, "System.Title": {"x.y": "z"}},
    "labels": [{"name": "bug"}, {"name": "ui"}],
    "none": [],
    "json": '{"choices": ["a", "b"]}',
    "label.responses": ["x"],
    "text": "plain",
}
TABLE = Table("d.jsonl", tuple(ISSUE), (Row(1, ISSUE),))


def value(name: str) -> str:
    return find_column(TABLE, "title", (), {"title": name}).text(TABLE, TABLE.rows[0])


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("text", "plain"),
        ("fields.summary", "It crashes"),
        ("labels[0].name", "bug"),
        ("labels[1].name", "ui"),
        ("labels[2].name", ""),
        ("none[0].name", ""),
        ("fields.parent.key", ""),
        ("json.choices[1]", "b"),
        ("fields.a.b", "1"),
        ("fields.System.Title.x.y", "z"),
        ("label.responses[0]", "x"),
    ],
)
def test_a_path_leads_to_a_part(path: str, want: str) -> None:
    assert value(path) == want


@pytest.mark.parametrize(
    ("path", "said", "hint"),
    [
        ("labels", "d.jsonl:1: 'labels' is a list", "--column title=labels[0].name"),
        ("fields", "d.jsonl:1: 'fields' is an object", "--column title=fields.summary"),
        ("fields.sumary", "leads to 'sumary' of an object", ""),
        ("labels.name", "leads to 'name' of a list", ""),
        ("text[0]", "leads to 0 of a text", ""),
        ("nothing.here", "no column for 'title'; expected nothing.here", "title=NAME"),
        ("fields.", "no column for 'title'", ""),
        ("labels[x]", "no column for 'title'", ""),
    ],
)
def test_a_path_that_leads_nowhere_is_one_error(path: str, said: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        value(path)
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_an_entry_of_several_is_known_to_leave_some() -> None:
    for path, leaves in [("labels[0].name", True), ("json.choices[1]", True), ("text", False)]:
        column = find_column(TABLE, "label", (), {"label": path})
        assert column.leaves_some(TABLE, TABLE.rows[0]) is leaves


def test_columns_of_one_name_are_asked_for_by_number() -> None:
    table = Table(
        "d.csv", ("Comment[0]", "Comment[1]"), (Row(2, {"Comment[0]": "a", "Comment[1]": "b"}),),
        ("Comment", "Comment"),
    )  # fmt: skip
    with pytest.raises(DataError, match="2 columns are called 'Comment'") as caught:
        find_column(table, "body", ("Comment",), {})
    assert caught.value.hint == "--column body=Comment[0] for the first of them"
    column = find_column(table, "body", (), {"body": "Comment[1]"})
    assert column.text(table, table.rows[0]) == "b"


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"Title": "a"}, '--column "title=Title"'),
        ({"fields": {"title": "a"}}, '--column "title=fields.title"'),
        ({"name": "a"}, '--column "title=NAME"'),
    ],
)
def test_what_may_be_meant_is_said(values: dict[str, object], hint: str) -> None:
    table = Table("d.jsonl", tuple(values), (Row(1, values),))
    with pytest.raises(DataError) as caught:
        find_column(table, "title", ("title",), {})
    assert hint in caught.value.hint


def test_a_header_that_holds_another_delimiter_is_said() -> None:
    with pytest.raises(DataError) as caught:
        find_column(Table("d.csv", ("a;b", "c;d"), ()), "title", ("title",), {})
    assert '--delimiter ";"' in caught.value.hint


def test_a_header_below_other_lines_is_said() -> None:
    rows = (Row(2, {"Report": "", "x": ""}), Row(3, {"Report": "id", "x": "title"}))
    with pytest.raises(DataError) as caught:
        find_column(Table("d.csv", ("Report", "x"), rows), "title", ("title",), {})
    assert "the header is in line 3" in caught.value.hint
