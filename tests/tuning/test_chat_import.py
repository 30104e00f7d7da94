"""What is exported is what inference asks, and importing it gives the items back."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.fake import FakeBackend
from gateway.core.errors import ConfigError
from gateway.core.types import Message
from gateway.evaluation.run import Strategy, question
from gateway.models.spec import ModelSpec, PathSource
from gateway.tasks.dataset import load_dataset
from gateway.tasks.prompts import load_template
from gateway.tasks.tables import json_lines
from gateway.tasks.task import Item, Task, load_task
from gateway.tuning.chat_format import ChatExample, Turn
from gateway.tuning.chat_import import Imported, import_chats
from gateway.tuning.chats import Chat, chat_maker, labels_of
from tests.conftest import ROOT as REPOSITORY
from tests.tuning.samples import LABELS, ROOT, TRIAGE, item

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
LINE = TEXT.map(str.strip).filter(bool)


def examples(chats: list[Chat]) -> list[ChatExample]:
    return [
        ChatExample(n, tuple(Turn(m.role, m.content) for m in chat.messages))
        for n, chat in enumerate(chats, start=1)
    ]


def back(task: Task, strategy: str, items: list[Item]) -> Imported:
    maker, _ = chat_maker(task, strategy, ROOT, items)
    made = examples([maker.chat(each) for each in items])
    return import_chats(made, task, load_template(task, strategy, ROOT), labels_of(task, ()))


def asked(*turns: tuple[str, str]) -> ChatExample:
    return ChatExample(1, tuple(Turn(role, text) for role, text in turns))


def imported(*chats: ChatExample) -> Imported:
    return import_chats(chats, TRIAGE, load_template(TRIAGE, "zero_shot", ROOT), LABELS)


def test_a_chat_is_what_inference_asks_and_the_answer_as_it_is_expected() -> None:
    each = item("i", "It crashes", "bug", body="Always.")
    backend = FakeBackend(ModelSpec("fake", PathSource(Path())))
    strategy = Strategy(load_template(TRIAGE, "zero_shot", ROOT))
    request = question(TRIAGE, LABELS, strategy, backend, each).request
    maker, _ = chat_maker(TRIAGE, "zero_shot", ROOT, [each])
    assert maker.chat(each).messages == (*request.messages, Message("assistant", "bug"))


@settings(max_examples=40)
@given(LINE, LINE, st.sampled_from(LABELS))
def test_an_exported_item_is_imported_again(title: str, body: str, label: str) -> None:
    made = back(TRIAGE, "zero_shot", [item("i", title, label, body=body)])
    assert made.rows == ({"id": "line-1", "title": title, "body": body, "label": label},)
    assert not made.whole


@pytest.mark.parametrize(
    ("name", "strategy", "file"),
    [
        ("issue-triage", "few_shot", "sample.csv"),
        ("issue-fields", "zero_shot", "sample.csv"),
        ("issue-record", "few_shot", "sample.jsonl"),
        ("intent", "zero_shot", "sample.csv"),
        ("story-points", "zero_shot", "sample.csv"),
        ("story-estimate", "zero_shot", "sample.jsonl"),
        ("story-estimate", "few_shot", "sample.jsonl"),
    ],
)
def test_the_samples_come_back_as_data_that_the_loader_reads(
    tmp_path: Path, name: str, strategy: str, file: str
) -> None:
    task = load_task(name, ROOT)
    want = load_dataset(str(REPOSITORY / "prompts" / name / file), task).items
    made = back(task, strategy, list(want))
    assert not made.refused
    assert not made.whole
    path = tmp_path / "items.jsonl"
    path.write_text(json_lines(made.rows), encoding="utf-8")
    got = load_dataset(str(path), task).items
    assert [(i.gold, i.rationale) for i in got] == [(i.gold, i.rationale) for i in want]
    for one, other in zip(got, want, strict=True):
        assert one.fields == {name: text.strip() for name, text in other.fields.items()}


def test_a_message_that_the_template_did_not_make_becomes_the_long_field() -> None:
    made = imported(asked(("user", "It crashes, why?"), ("assistant", "Label: bug")))
    assert made.rows[0] == {"id": "line-1", "title": "", "body": "It crashes, why?", "label": "bug"}
    assert made.whole == (1,)


def test_a_chat_without_a_readable_answer_is_refused_with_the_reason() -> None:
    made = imported(
        asked(("user", "a"), ("assistant", "bug or feature")),
        asked(("system", "a"), ("assistant", "bug")),
    )
    assert made.rows == ()
    assert "several labels" in made.refused[0][1]
    assert "no question" in made.refused[1][1]


def test_a_reason_stands_behind_the_answer_and_exemplars_show_theirs() -> None:
    task = load_task("story-estimate", ROOT)
    sample = load_dataset(str(REPOSITORY / "prompts/story-estimate/sample.jsonl"), task).items
    maker, _ = chat_maker(task, "few_shot", ROOT, sample)
    chat = maker.chat(sample[0])
    answers = [m.content for m in chat.messages if m.role == "assistant"]
    assert answers[-1] == f"2\n{sample[0].rationale}"
    assert answers[0].startswith("1\nOne text in one file")
    assert len(answers) == 4


def test_a_strategy_that_reasons_has_nothing_to_train_on() -> None:
    with pytest.raises(ConfigError, match="does not say what it is to think"):
        chat_maker(TRIAGE, "cot", ROOT, [item("i", "a")])
