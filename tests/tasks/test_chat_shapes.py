"""Data for fine-tuning in other shapes is called by its name, and read as chats."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import DataError
from gateway.tasks.dataset import load_dataset
from gateway.tuning.chat_format import read_as_chats
from tests.tuning.samples import TRIAGE

ASKED, ANSWER = {"role": "user", "content": "It crashes"}, {"role": "assistant", "content": "bug"}
SHAPES: dict[str, dict[str, Any]] = {
    "ShareGPT's conversations": {
        "conversations": [{"from": "human", "value": "It crashes"}, {"from": "gpt", "value": "bug"}]
    },
    "Alpaca's instructions": {"instruction": "It", "input": "crashes", "output": "bug"},
    "preference pairs": {"prompt": "It crashes", "chosen": "bug", "rejected": "question"},
    "prompts and completions": {"prompt": "It crashes", "completion": "bug"},
}
OTHERS: list[dict[str, Any]] = [
    {"conversations": [ASKED, ANSWER]},
    {"prompt": [ASKED], "completion": [ANSWER]},
    {"chosen": [ASKED, ANSWER], "rejected": [ASKED, ANSWER], "score_chosen": 8.0},
]


def written(folder: Path, row: dict[str, Any], name: str = "data.json") -> str:
    """As one list, or a line a row."""
    text = json.dumps([row, row]) if name.endswith("json") else f"{json.dumps(row)}\n" * 2
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize("shape", SHAPES)
def test_where_a_table_of_labels_is_wanted_it_is_named_with_the_command_that_converts(
    tmp_path: Path, shape: str
) -> None:
    with pytest.raises(DataError, match=f"no table of labelled items but {shape}") as raised:
        load_dataset(written(tmp_path, SHAPES[shape]), TRIAGE)
    assert "gateway data import" in raised.value.hint


def test_openai_s_own_format_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="but OpenAI's chats"):
        load_dataset(written(tmp_path, {"messages": [ASKED, ANSWER]}), TRIAGE)


@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
@pytest.mark.parametrize("row", [*SHAPES.values(), *OTHERS], ids=lambda row: " ".join(row))
def test_it_is_read_as_a_question_and_its_answer(
    tmp_path: Path, row: dict[str, Any], name: str
) -> None:
    examples, _, left_out = read_as_chats(written(tmp_path, row, name))
    assert len(examples) == 2
    assert [(turn.role, " ".join(turn.content.split())) for turn in examples[1].turns] == [
        ("user", "It crashes"),
        ("assistant", "bug"),
    ]
    assert left_out == ("the rejected answers" if "rejected" in row else "")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"conversations": []}, "no list of messages"),
        ({"conversations": [{"from": "robot", "value": "?"}]}, "from 'robot'"),
        ({"instruction": "", "output": "x"}, "'instruction' is no text"),
        ({"prompt": "x", "completion": 3}, "'completion' is no list"),
    ],
)
def test_a_row_that_is_not_of_its_shape_is_told_with_its_line(
    tmp_path: Path, row: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said) as raised:
        read_as_chats(written(tmp_path, row, "data.jsonl"))
    assert "data.jsonl:1:" in raised.value.message
