import json

import pytest

from gateway.core.errors import DataError
from gateway.tasks.tables.objects import read_json, read_json_lines

ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": {"c": [3]}}]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_of_objects_is_a_table(indent: int | None) -> None:
    table = read_json("d.json", json.dumps(ROWS, indent=indent))
    assert [dict(row.values) for row in table.rows] == ROWS
    assert [row.line for row in table.rows] == ([2, 6] if indent else [1, 2])


def test_an_object_with_one_list_of_objects_is_that_list_and_it_is_told() -> None:
    table = read_json("d.json", json.dumps({"total": 2, "issues": ROWS, "names": ["x"]}))
    assert [dict(row.values) for row in table.rows] == ROWS
    assert table.notes == ("d.json: the rows are those of 'issues'",)


def test_the_one_list_within_objects_is_the_rows_as_graphql_and_a_search_answer() -> None:
    page = {"pageInfo": {"hasNextPage": False}, "nodes": ROWS}
    table = read_json("d.json", json.dumps({"data": {"repository": {"issues": page}}}))
    assert [dict(row.values) for row in table.rows] == ROWS
    assert table.notes == ("d.json: the rows are those of 'data.repository.issues.nodes'",)
    with pytest.raises(DataError) as caught:
        read_json("d.json", json.dumps({"data": {"a": {"nodes": ROWS}, "b": {"nodes": ROWS}}}))
    assert "several lists of objects: data.a.nodes, data.b.nodes" in caught.value.message


def test_an_object_with_texts_of_its_own_is_a_row_whatever_it_has_within() -> None:
    row = {"text": "a", "label": "x", "meta": {"spans": [{"start": 0}]}}
    assert [dict(row.values) for row in read_json("d.json", json.dumps(row)).rows] == [row]


def test_lists_one_after_the_other_are_rows_as_a_client_writes_pages() -> None:
    pages = f"{json.dumps(ROWS[:1])}\n{json.dumps(ROWS[1:])}\n"
    table = read_json("d.json", pages)
    assert [(row.line, dict(row.values)) for row in table.rows] == [(1, ROWS[0]), (2, ROWS[1])]


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ('{"a": 1},\n', "remove the comma at the end"),
        ('{"a": 1,}\n', "remove the comma at the end"),
        ('[{"a": 1},\n{"a": 2}]\n', "from a file called .json"),
        ("{'a': 1}\n", "in double quotes"),
        ("a,b\n", "another suffix"),
    ],
)
def test_what_is_nearly_json_is_an_error_with_its_cure(text: str, cure: str) -> None:
    with pytest.raises(DataError) as caught:
        read_json_lines("d.jsonl", text)
    assert cure in caught.value.hint
    assert caught.value.message.startswith("d.jsonl:1: no JSON: ")


def test_json_lines_are_read_whatever_the_name() -> None:
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    assert read_json("d.json", text) == read_json_lines("d.json", text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": 1}, {"a": 1, "a": 2}]', "d.json:1: the key 'a' stands twice in one object"),
        ('[{"a": 1},\n{"a": {"b": 1, "b": 2}}]', "d.json:2: the key 'b' stands twice"),
        ('[{"a": 1},\n{"a": 2}', "d.json:2: no JSON: the list has no end"),
        ('[{"a": 1},\n{"a"', "d.json:2: no JSON"),
        ('[{"a": 1}\n{"a": 2}]', "d.json:2: no JSON: '{' where a comma"),
        ('[{"a": 1}] 7', "d.json:1: no JSON"),
        ("[1]", "d.json:1: a number where an object is expected"),
        ("7", "d.json:1: a number where an object is expected"),
        ('{"a": 1} {"a": 2', "d.json:1: no JSON"),
        ('{"a": [1, 2], "b": [3, 4]}', "d.json:1: one object whose members are all alike"),
        ('{"a": {"0": 1}, "b": {"0": 2}}', "d.json:1: one object whose members are all alike"),
        ('{"a": [{"x": 1}], "b": [{"x": 2}]}', "several lists of objects: a, b"),
        ("[" * 100_000, "d.json:1: no JSON"),
        ('{"a": ' * 100_000, "d.json:1: no JSON"),
    ],
)
def test_what_is_no_table_is_one_error(text: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        read_json("d.json", text)
    assert said in caught.value.message


def test_objects_one_after_the_other_are_rows_whatever_their_lines() -> None:
    pretty = "\n".join(json.dumps(row, indent=2) for row in ROWS)
    assert [dict(row.values) for row in read_json("d.json", pretty).rows] == ROWS
    assert read_json("d.json", pretty).rows[1].line > 2
    joined = "".join(json.dumps(row) for row in ROWS)
    assert [dict(row.values) for row in read_json("d.json", joined).rows] == ROWS


def test_a_byte_order_mark_at_a_line_is_no_part_of_an_object() -> None:
    text = "".join("\ufeff" + json.dumps(row) + "\n" for row in ROWS)
    assert [dict(row.values) for row in read_json_lines("d.jsonl", text).rows] == ROWS


@pytest.mark.parametrize(
    ("text", "cure"), [("text,label\na,b\n", ".csv"), ('{\n"text": "a"}\n', "called .json")]
)
def test_an_error_names_what_the_file_is_rather(text: str, cure: str) -> None:
    with pytest.raises(DataError) as caught:
        read_json_lines("d.jsonl", text)
    assert cure in caught.value.hint


def test_a_key_that_repeats_is_an_error_in_a_line_too() -> None:
    with pytest.raises(DataError, match=r"d.jsonl:2: the key 'label' stands twice in one object"):
        read_json_lines("d.jsonl", '{"label": "a"}\n{"label": "a", "label": "b"}\n')


def test_a_list_in_json_lines_is_an_error_that_names_json() -> None:
    with pytest.raises(DataError) as caught:
        read_json_lines("d.jsonl", json.dumps(ROWS))
    assert ".json" in caught.value.hint


def test_an_empty_list_has_no_rows() -> None:
    assert read_json("d.json", "[ ]").rows == ()
