import csv

import pytest

from gateway.core.errors import ConfigError, DataError
from gateway.tasks.tables import Quoting, ReadOptions, Table
from gateway.tasks.tables.delimited import read_delimited

COMMA = "id,label,text\n1,ham,one\n2,spam,two\n"


def read(text: str, usual: str = ",", delimiter: str = "", quoting: Quoting = "") -> Table:
    return read_delimited("d.csv", text, usual, ReadOptions({}, delimiter, quoting=quoting))


def cells(table: Table) -> list[list[str]]:
    return [list(row.values.values()) for row in table.rows]


def test_fields_are_separated_by_what_the_name_says() -> None:
    table = read(COMMA)
    assert (table.columns, table.notes, table.doubts) == (("id", "label", "text"), (), ())
    assert cells(table) == [["1", "ham", "one"], ["2", "spam", "two"]]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_seen_in_the_header_and_told(delimiter: str) -> None:
    table = read(COMMA.replace(",", delimiter))
    assert cells(table) == cells(read(COMMA))
    assert "separated by" in table.notes[0]


def test_another_delimiter_is_seen_between_names_in_quotes_too() -> None:
    quoted = COMMA.replace(",", '";"').replace("\n", '"\n"')
    assert cells(read('"' + quoted.removesuffix('"'))) == cells(read(COMMA))


def test_commas_in_a_file_of_tabs_are_seen_too() -> None:
    assert cells(read(COMMA, usual="\t")) == cells(read(COMMA))


def test_excel_says_the_delimiter_in_the_first_line() -> None:
    table = read("sep=;\r\n" + COMMA.replace(",", ";").replace("\n", "\r\n"))
    assert cells(table) == cells(read(COMMA))
    assert [row.line for row in table.rows] == [3, 4]


def test_a_delimiter_that_is_named_is_taken_without_a_word() -> None:
    table = read(COMMA.replace(",", "^"), delimiter="^")
    assert (cells(table), table.notes) == (cells(read(COMMA)), ())


def test_one_column_is_one_column() -> None:
    table = read("text\none\ntwo; three\n")
    assert cells(table) == [["one"], ["two; three"]]


def test_a_comma_in_a_header_of_semicolons_is_an_error_that_names_the_option() -> None:
    with pytest.raises(DataError) as caught:
        read("id;label;text, long\n1;ham;one, two, three\n")
    assert "d.csv:2: 3 fields where the header has 2" in caught.value.message
    assert '--delimiter ";"' in caught.value.hint


def test_columns_of_one_name_have_numbers_and_those_without_one_too() -> None:
    table = read("Summary,Comment,Comment,,\na,b,c,,\n")
    assert table.columns == ("Summary", "Comment[0]", "Comment[1]", "[0]", "[1]")
    assert table.names == ("Summary", "Comment", "Comment", "", "")
    assert table.called("Comment") == 2


def test_spaces_around_names_of_columns_are_no_part_of_them() -> None:
    table = read("id, label,\u200btext\n1,ham,one\n")
    assert table.columns == ("id", "label", "text")
    assert "d.csv:1" in table.notes[0]


def test_rows_without_any_value_are_left_out_and_that_is_told() -> None:
    table = read("id,text\n1,a\n,\n2,b\n,\n")
    assert cells(table) == [["1", "a"], ["2", "b"]]
    assert table.notes == ("d.csv: left out, without any value: 2 rows",)


def test_the_header_again_is_an_error() -> None:
    with pytest.raises(DataError, match=r"d.csv:4: the header again"):
        read(COMMA + "\ufeff" + COMMA)


def test_a_last_line_without_an_end_is_doubted() -> None:
    assert "d.csv:3: the last line has no line end" in read(COMMA.rstrip("\n")).doubts[0]
    assert read('id,text\n1,"a"').doubts == ()


def test_a_lone_carriage_return_in_one_column_is_doubted() -> None:
    assert "1 lines end in another way" in read("text\none\rtwo\nthree\n").doubts[0]
    assert read("text\rone\rtwo\r").doubts == ()


LONE = 'id\ttext\tlabel\n1\t"Hello there\tspam\n2\tGood bye"\tham\n3\tplain\tspam\n4\tother\tham\n'


@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_two_lone_quotes_are_an_error_that_names_both_cures(delimiter: str) -> None:
    text = LONE.replace("\t", delimiter)
    with pytest.raises(DataError) as caught:
        read(text, delimiter)
    assert "d.csv:2: a quote opens here and closes in line 3" in caught.value.message
    assert "--quoting none" in caught.value.hint
    assert [c[1] for c in cells(read(text, delimiter, quoting="none"))] == [
        '"Hello there',
        'Good bye"',
        "plain",
        "other",
    ]
    assert len(read(text, delimiter, quoting="double").rows) == 3


def test_two_lone_quotes_beside_quoted_fields_are_an_error_too() -> None:
    text = LONE.replace("\t", ",").replace("Good bye", 'Good bye","x').replace('x"', 'x, y"')
    with pytest.raises(DataError, match=r"d.csv:2: "):
        read(text)


def test_text_of_several_lines_that_could_be_rows_is_doubted_and_read() -> None:
    table = read('text,label\n"one, or\ntwo, or",a\n"three",b\n')
    assert cells(table)[0] == ["one, or\ntwo, or", "a"]
    table = read('label,text\na,"one\ntwo, or"\nb,"three"\n')
    assert cells(table)[0] == ["a", "one\ntwo, or"]
    assert "d.csv:2: a quote opens here and closes in line 3" in table.doubts[0]


def test_text_of_several_lines_is_one_field_without_a_word() -> None:
    table = read('id,label,text\n1,ham,"one\ntwo, and three\n""four"""\n2,spam,"x\ny"\n')
    assert cells(table)[0] == ["1", "ham", 'one\ntwo, and three\n"four"']
    assert (table.notes, table.doubts) == ((), ())
    assert table.remarks == (
        "d.csv: 6 lines, 3 rows with the header: 2 span several lines, d.csv:2 the first",
    )


@pytest.mark.parametrize(
    ("text", "quoting"),
    [
        ('id\ttext\n1\t"Hi" she said\n2\tyes\n', "none"),
        ('id\ttext\n1\t"never closed\n2\tyes\n', "none"),
        ('id,text\n1,"she said \\"no\\" twice, and more"\n', "backslash"),
        ('id,text\n1,"she said \\"no\\""\n2,"yes"\n', "backslash"),
    ],
)
def test_an_error_of_quotes_names_the_quoting_that_cures_it(text: str, quoting: Quoting) -> None:
    usual = "\t" if "\t" in text else ","
    with pytest.raises(DataError) as caught:
        read(text, usual)
    assert f"--quoting {quoting}" in caught.value.hint
    assert read(text, usual, quoting=quoting).rows


def test_a_field_longer_than_the_modules_own_limit_is_read_and_the_limit_stays() -> None:
    before = csv.field_size_limit()
    assert len(cells(read("id,text\n1," + "x" * 200_000 + "\n"))[0][1]) == 200_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("options", [{"delimiter": ";;"}, {"delimiter": '"'}, {"delimiter": " "}])
def test_no_delimiter_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="--delimiter"):
        ReadOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["nope", "rot13", "base64", "\0"])
def test_no_encoding_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no such encoding"):
        ReadOptions(encoding=name)


def test_no_quoting_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        ReadOptions(quoting="single")  # type: ignore[arg-type]
    assert caught.value.hint == "known: double, backslash, none"


@pytest.mark.parametrize("text", ["id,text,\n1,a,\n2,b,\n", "id,text\n1,a,\n2,b,\n"])
def test_a_delimiter_at_the_end_of_each_line_is_no_field(text: str) -> None:
    assert [row[:2] for row in cells(read(text))] == [["1", "a"], ["2", "b"]]


def test_a_delimiter_at_the_end_of_the_header_alone_is_told() -> None:
    table = read("id,text,,\n1,a\n2,b\n")
    assert (table.columns, cells(table)) == (("id", "text"), [["1", "a"], ["2", "b"]])
    assert table.notes == ("d.csv: a delimiter at the end of each line was left out",)


@pytest.mark.parametrize(
    ("text", "said", "cure"),
    [
        ("id,text\n1,a,\n2,b\n", "d.csv:2: 3 fields", "remove the delimiter at its end"),
        ("# made in May\nid,text\n1,a\n", "d.csv:2: 2 fields", "before the header"),
        ("id,text\n1,a\n# that is all\n", "d.csv:3: 1 fields", "if it is no row"),
        ("| id | text |\n|---|:--|\n| 1 | a |\n", "d.csv:2: a rule", "export the table as CSV"),
        ("text\tlabel\n1\ta\tx\n", "d.csv:2: 3 fields", "in R, write.table"),
        ('"id,text"\n"1,a"\n', "d.csv:1: the whole line stands in quotes", "remove the quotes"),
        ('\n\n"id,text"\n"1,a"\n', "d.csv:3: the whole line", "remove the quotes"),
    ],
)
def test_what_is_no_row_is_one_error_with_its_cure(text: str, said: str, cure: str) -> None:
    with pytest.raises(DataError) as caught:
        read(text)
    assert said in caught.value.message
    assert cure in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,text\n# by, hand\n1,a\n2,b\n", "d.csv:2: begins as a comment does"),
        ('id,text\n1, "a"\n2,b\n', "d.csv:2: spaces stand before a quote"),
        ("id,text\n1,a\nTotal,2\n", "d.csv:3: begins as a row of totals does"),
        ("id,text\n1,\\N\n2,b\n", "d.csv:2: \\N is read as a text"),
        (f"id,text\n1,{'x' * 32_767}\n", "d.csv:2: as long as a cell can be"),
        ("id,text\n1,'a'\n2,'b'\n", "d.csv: every value of 'text' stands in quotes"),
        ("id,text\n1,a;\n2,b;\n", 'd.csv: the last field of every row ends with ";"'),
    ],
)
def test_what_may_be_no_value_is_doubted(text: str, said: str) -> None:
    (doubt,) = read(text).doubts
    assert doubt.startswith(said)
    assert read("text,id\n# one,1\n# two,2\n").doubts == ()


@pytest.mark.parametrize("text", ["sep=;\n", "sep=;\n\n", "sep=;", "\n"])
def test_a_file_without_a_header_has_no_rows(text: str) -> None:
    assert read(text).rows == ()
