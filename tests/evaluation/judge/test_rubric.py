from pathlib import Path

import pytest

from gateway.backends.fake import FakeBackend, FakeSpec
from gateway.core.errors import ConfigError, DataError
from gateway.evaluation.judge.rubric import GRADES, Rubric, list_rubrics, load_answers, load_rubric
from gateway.models.spec import PathSource
from gateway.tasks.task import list_tasks
from tests.evaluation.judge.answers import (
    ROWS,
    RUBRIC,
    SHIPPED,
    TEMPLATE,
    faithfulness,
    write_answers,
    write_rubric,
)


def load(root: Path, rubric: str = RUBRIC, template: str = TEMPLATE) -> Rubric:
    return load_rubric("mine", write_rubric(root, rubric, template))


def test_two_rubrics_are_shipped_and_are_no_tasks() -> None:
    assert list_rubrics(SHIPPED) == ["faithfulness", "format"]
    assert not set(list_rubrics(SHIPPED)) & set(list_tasks(SHIPPED))


@pytest.mark.parametrize("name", list_rubrics(SHIPPED))
def test_a_judge_reads_all_fields_and_what_every_grade_means(name: str) -> None:
    rubric = load_rubric(name, SHIPPED)
    fields = {field: f"  the {field} {{{{ 7 * 7 }}}}\n of it " for field in rubric.task.fields}
    judge = FakeBackend(FakeSpec("fake", PathSource(Path())))
    prompt = rubric.template.render(rubric.task, GRADES, fields, (), judge)
    system, user = prompt.messages
    assert rubric.task.description in system.content
    for label in rubric.task.labels:
        assert f"{label.name}: {label.description}\n" in system.content
    assert all(text.strip() in user.content for text in fields.values())
    assert (prompt.answer_start, prompt.shortened) == ("Grade: ", {})


def test_spaces_of_an_answer_are_part_of_its_format() -> None:
    rubric = load_rubric("format", SHIPPED)
    judge = FakeBackend(FakeSpec("fake", PathSource(Path())))
    fields = {"request": "Two spaces first.", "answer": "  yes\n"}
    prompt = rubric.template.render(rubric.task, GRADES, fields, (), judge)
    assert "<answer>\n  yes\n\n</answer>" in prompt.messages[1].content


def test_the_digest_changes_with_what_may_change_a_grade(tmp_path: Path) -> None:
    plain = load(tmp_path / "a")
    assert load(tmp_path / "b").digest == plain.digest
    assert load(tmp_path / "c", RUBRIC.replace("fair", "so so")).digest != plain.digest
    assert load(tmp_path / "d", template=TEMPLATE + "\n").digest != plain.digest
    renamed = load(tmp_path / "e", RUBRIC.replace('["answer"]', '["output"]'))
    assert renamed.digest == plain.digest, "a column's name changes no grade"


def test_an_unknown_rubric_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no rubric is called 'nope'") as caught:
        load_rubric("nope", SHIPPED)
    assert caught.value.hint == "known: faithfulness, format"
    with pytest.raises(ConfigError, match="no name of a rubric"):
        load_rubric("../prompts/format", SHIPPED)


@pytest.mark.parametrize(
    ("rubric", "said"),
    [
        ("description = ", "no valid TOML"),
        (RUBRIC.replace('5 = "best"', ""), "grades"),
        (RUBRIC + '6 = "beyond"', "grades"),
        (RUBRIC.replace('"best"', '""'), "grades.5"),
        (RUBRIC.replace("answer =", "human ="), "fields"),
        (RUBRIC + "[more]\nx = 1", "more"),
        (RUBRIC.replace("Grade it.", ""), "description"),
    ],
)
def test_a_wrong_rubric_is_one_error_that_names_it(tmp_path: Path, rubric: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load(tmp_path, rubric)
    assert "rubric.toml" in caught.value.message


@pytest.mark.parametrize(
    "settings", ['mode = "generate"', 'mode = "constrained"', 'mode = "score"\nexemplars = 1']
)
def test_grades_are_scored_never_written(tmp_path: Path, settings: str) -> None:
    with pytest.raises(ConfigError, match=r"grade\.j2.*scored, without exemplars"):
        load(tmp_path, template=TEMPLATE.replace('mode = "score"', settings))


def test_human_grades_are_read_where_a_column_is_named(tmp_path: Path) -> None:
    source = write_answers(tmp_path / "answers.csv")
    blind = load_answers(source, faithfulness(), columns={})
    assert [item.gold for item in blind.items] == [None, None, None]
    for names, human in (({}, "grade"), ({"human": "grade"}, None)):
        data = load_answers(source, faithfulness(), columns=names, human=human)
        assert [item.gold for item in data.items] == ["5", "1", "3"]
        assert [item.digest for item in data.items] == [item.digest for item in blind.items]


@pytest.mark.parametrize("wrong", ["6", "0", "4.0", "-1", "good", "", "٣"])
def test_a_human_grade_that_is_no_integer_from_1_to_5_is_an_error_with_its_line(
    tmp_path: Path, wrong: str
) -> None:
    rows = (*ROWS, ("late", "A source.", "An answer.", wrong))
    source = write_answers(tmp_path / "answers.csv", rows)
    with pytest.raises(DataError, match=r"answers\.csv:5: 'grade' is") as caught:
        load_answers(source, faithfulness(), columns={}, human="grade")
    assert repr(wrong) in caught.value.message or "empty" in caught.value.message
    assert len(load_answers(source, faithfulness(), columns={}).items) == 4


def test_json_numbers_are_human_grades_too(tmp_path: Path) -> None:
    source = tmp_path / "answers.jsonl"
    source.write_text('{"source": "s", "answer": "a", "human": 4}\n')
    data = load_answers(str(source), faithfulness(), columns={"human": "human"})
    assert data.items[0].gold == "4"
    source.write_text('{"source": "s", "answer": "a", "human": 4.5}\n')
    with pytest.raises(DataError, match=r"answers\.jsonl:1: 'human' is '4\.5'"):
        load_answers(str(source), faithfulness(), columns={"human": "human"})


def test_the_human_column_is_named_once(tmp_path: Path) -> None:
    source = write_answers(tmp_path / "answers.csv")
    with pytest.raises(ConfigError, match="name the same column"):
        load_answers(source, faithfulness(), columns={"human": "grade"}, human="grade")
