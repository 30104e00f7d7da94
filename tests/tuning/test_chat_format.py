import json
from pathlib import Path

import pytest

from gateway.core.errors import DataError
from gateway.tuning.chat_format import Turn, read_chats

GOOD = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}


def write(folder: Path, *lines: object, good: int = 10) -> str:
    path = folder / "chat.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": f"{n}"}, *GOOD["messages"]]} for n in range(good)
    ]
    texts = [line if isinstance(line, str) else json.dumps(line) for line in (*rows, *lines)]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return str(path)


def messages(*turns: tuple[str, str], **more: object) -> dict[str, object]:
    return {"messages": [{"role": role, "content": text} for role, text in turns], **more}


def test_ten_examples_are_valid_and_nine_are_too_few(tmp_path: Path) -> None:
    examples, found = read_chats(write(tmp_path))
    assert (len(examples), found.findings) == (10, ())
    assert examples[3].line == 4
    assert examples[3].turns[-1] == Turn("assistant", "Yes")
    _, few = read_chats(write(tmp_path, good=9))
    assert [f.code for f in few.errors] == ["too-few-examples"]


def test_everything_that_the_format_has_is_known(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    rich = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Weather?", "name": "ann"},
            {"role": "assistant", "tool_calls": [call], "weight": 0},
            {"role": "tool", "content": "sun", "tool_call_id": "c"},
            {"role": "assistant", "content": "Sun.", "weight": 1},
        ],
        "tools": [{"type": "function"}],
        "parallel_tool_calls": False,
    }
    _, found = read_chats(write(tmp_path, rich))
    assert not found.errors


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "Invalid JSON"),
        ("[1]", "should be an object"),
        ({}, "messages: Field required"),
        (messages(), "there are none"),
        (messages(("user", "a")), "the last one is to be the assistant's, not 'user'"),
        (messages(("bot", "a"), ("assistant", "b")), "messages.0.role: Input should be"),
        (messages(("user", ""), ("assistant", "b")), "content: text is expected"),
        (messages(("user", "a"), ("assistant", " \n")), "content: text is expected"),
        (messages(("assistant", "b")), "none is the user's"),
        (messages(("user", "a"), ("assistant", "b"), x=1), "x: a key that the format does not"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "a", "weight": 1}]}, "weight: only an"),
        (
            {"messages": [GOOD["messages"][0], {**GOOD["messages"][1], "weight": 0}]},
            "every answer has weight 0",
        ),
    ],
)
def test_a_wrong_line_is_an_error_with_its_number(tmp_path: Path, line: object, said: str) -> None:
    source = write(tmp_path, line)
    _, found = read_chats(source)
    (error,) = found.errors
    assert error.places[0].place == f"{source}:11"
    assert said in error.places[0].about


def test_all_wrong_lines_are_listed_and_repeats_warned_of(tmp_path: Path) -> None:
    examples, found = read_chats(write(tmp_path, "{", GOOD, "", "x", GOOD))
    assert len(examples) == 12
    assert [place.place.rpartition(":")[2] for place in found.errors[0].places] == ["11", "14"]
    assert found.warnings[0].places[0].about == "as line 12"


def test_a_separator_within_a_text_ends_no_line(tmp_path: Path) -> None:
    line = json.dumps(messages(("user", "a\u2028b"), ("assistant", "c")), ensure_ascii=False)
    examples, found = read_chats(write(tmp_path, line))
    assert not found.findings
    assert examples[-1].turns[0].content == "a\u2028b"


def test_no_file_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    for name, said in (("absent.jsonl", "no such file"), ("empty.jsonl", "is empty")):
        with pytest.raises(DataError, match=said):
            read_chats(str(tmp_path / name))
