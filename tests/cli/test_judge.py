"""`gateway judge` as a person and a script meet it."""

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.fake import FakeBackend
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.core.errors import InvalidRequest
from gateway.evaluation.judge.judgement import OWN_ANSWERS, UNTESTED
from gateway.evaluation.judge.rubric import GRADES, load_answers, load_rubric
from gateway.evaluation.run import Strategy, question
from tests.cli.conftest import Done, Gateway
from tests.conftest import few_layers
from tests.evaluation.judge.answers import ROWS, SHIPPED, faithfulness, write_answers, write_rubric


def judge(gateway: Gateway, folder: Path, *more: object, model: str = "fake") -> Done:
    """The rubric and the answers of `write_answers` in the folder, unless others are named."""
    named = ("--rubric", "faithfulness", "--data", folder / "answers.csv", *more)
    store = () if "--store" in more else ("--store", folder / "store.sqlite")
    return gateway("judge", model, *named, *store, "--prompts", SHIPPED)


@pytest.fixture
def answers(fake: Path) -> Path:
    """The folder of a fake model, with answers to grade."""
    write_answers(fake / "answers.csv")
    return fake


def test_tables_name_the_judge_the_grades_and_what_they_are_worth(
    gateway: Gateway, answers: Path
) -> None:
    done = judge(gateway, answers)
    assert (done.code, done.err) == (0, "fake/grade: 3 done\n")
    for word in ("weights", "rubric faithfulness", faithfulness().digest, "mean expected grade"):
        assert word in done.out
    assert OWN_ANSWERS in done.out
    assert UNTESTED in done.out
    assert "kappa, quadratic" not in done.out
    graded = judge(gateway, answers, "--human", "grade")
    assert (graded.code, graded.err) == (0, "fake/grade: 3 done, 3 of 3 from the store\n")
    assert "Cohen's kappa, quadratic weights" in graded.out
    assert OWN_ANSWERS in graded.out
    assert UNTESTED not in graded.out


def test_json_and_files_say_the_same(gateway: Gateway, answers: Path) -> None:
    done = judge(gateway, answers, "--human", "grade", "--json", "--out", answers / "judged")
    assert done.code == 0
    said = json.loads(done.out)
    lines = (answers / "judged" / "grades.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == said.pop("grades")
    assert json.loads((answers / "judged" / "judge.json").read_text()) == said
    assert said["judge"]["model"] == "fake"
    assert said["agreement"]["n"] == len(lines) == 3


def test_a_folder_that_can_not_be_written_is_an_error_with_a_hint(
    gateway: Gateway, answers: Path
) -> None:
    done = judge(gateway, answers, "--out", "/proc/judged")
    assert done.code == 2
    assert "/proc/judged: cannot be written" in done.err
    assert "--out" in done.err


def test_answers_are_asked_once_and_kept(
    gateway: Gateway, answers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise InvalidRequest("asked again")

    first = judge(gateway, answers, "--json")
    monkeypatch.setattr(FakeBackend, "score_labels", refuse)
    assert judge(gateway, answers, "--json").out == first.out
    other = judge(gateway, answers, "--store", answers / "other.sqlite")
    assert other.code == 1
    assert "3 answers failed, tuesday the first: asked again" in other.out
    assert judge(gateway, answers, "--json").code == 0


def test_an_answer_that_does_not_fit_is_counted_and_gets_no_grade(
    gateway: Gateway, answers: Path
) -> None:
    write_answers(answers / "answers.csv", (*ROWS, ("long", "word " * 2000, "An answer.", 5)))
    done = judge(gateway, answers, "--human", "grade")
    assert done.code == 0
    assert "1 answer truncated, long the first: the request needs" in done.out
    said = json.loads(judge(gateway, answers, "--human", "grade", "--json").out)
    assert (said["statuses"]["ok"], said["statuses"]["truncated"]) == (3, 1)
    assert (said["grades"][3]["expected"], said["agreement"]["n"]) == (None, 3)


def test_a_limit_takes_a_seeded_sample(gateway: Gateway, answers: Path) -> None:
    said = json.loads(judge(gateway, answers, "--limit", 2, "--json").out)
    assert len(said["grades"]) == 2


def test_wrong_input_is_one_message_before_any_model_is_asked(
    gateway: Gateway, answers: Path
) -> None:
    write_answers(answers / "six.csv", (*ROWS, ("late", "A source.", "An answer.", 6)))
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--rubric", "politeness"), "known: faithfulness, format"),
        (("--data", answers / "six.csv", "--human", "grade"), "six.csv:5: 'grade' is '6'"),
        (("--rubric", "format", "--column", "request=asked"), "no column for 'request'"),
        (("--human", "stars"), "no column for 'human'; expected stars"),
        (("--human", "grade", "--column", "human=grade"), "name the same column"),
        (("--column", "question=source"), "has no field 'question'"),
        (("--data", "none.csv"), "none.csv: no such file"),
        (("--out", answers / "answers.csv"), "in the way of the output folder"),
    ]
    for more, said in cases:
        done = judge(gateway, answers, *more)
        assert (done.code, done.out) == (2, ""), more
        assert said in done.err
    unknown = judge(gateway, answers, model="gpt-4o")
    assert (unknown.code, "known:" in unknown.err) == (2, True)
    assert not (answers / "store.sqlite").exists()


def test_help_says_what_a_judge_is_worth(gateway: Gateway) -> None:
    said = " ".join(gateway("judge", "--help").out.split())
    for word in (
        "expected value",
        "favours its own answers",
        "135M",
        "kappa",
        "nothing is sampled",
    ):
        assert word in said


def test_rubrics_are_listed_and_shown_beside_the_tasks(gateway: Gateway) -> None:
    listed = gateway("prompts", "list", "--prompts", SHIPPED)
    assert "faithfulness rubric" in " ".join(listed.out.split())
    shown = gateway("prompts", "show", "format", "grade", "--prompts", SHIPPED)
    assert shown.out == (SHIPPED / "format" / "grade.j2").read_text()


@pytest.fixture
def one_thread() -> Iterator[LlamaCppBackend]:
    """The same bytes as with two, and much sooner where others use the machine."""
    spec, path = few_layers("smollm2-135m")
    backend = LlamaCppBackend(replace(spec, threads=1), path)
    yield backend
    asyncio.run(backend.close())


def test_real_weights_give_the_same_bytes_and_the_sum_over_their_label_probabilities(
    gateway: Gateway, tmp_path: Path, one_thread: LlamaCppBackend
) -> None:
    source = write_answers(tmp_path / "answers.csv")
    prompts = write_rubric(tmp_path / "prompts")
    models = tmp_path / "models.toml"
    _, weights = few_layers("smollm2-135m")
    models.write_text(f"[models.one]\nthreads = 1\nsource = {{ path = '{weights}' }}\n")
    asked = ("--rubric", "mine", "--data", source, "--human", "grade", "--prompts", prompts)
    files = []
    for name in ("first", "second"):
        kept = ("--store", tmp_path / f"{name}.sqlite", "--out", tmp_path / name)
        assert gateway("judge", "one", *asked, *kept, "--models-file", models).code == 0
        files.append([(tmp_path / name / n).read_bytes() for n in ("judge.json", "grades.jsonl")])
    assert files[0] == files[1]

    rubric = load_rubric("mine", prompts)
    strategy = Strategy(rubric.template)
    grades = [json.loads(line) for line in files[0][1].splitlines()]
    for item, graded in zip(load_answers(source, rubric, columns={}).items, grades, strict=True):
        request = question(rubric.task, GRADES, strategy, one_thread, item).request
        scores = asyncio.run(one_thread.score_labels(request, GRADES))
        shares = [math.exp(logprob) for logprob in scores.logprobs]
        expected = sum(k * p for k, p in enumerate(shares, start=1)) / sum(shares)
        assert graded["expected"] == pytest.approx(expected, rel=1e-12)
        assert graded["mass"] == pytest.approx(sum(shares), rel=1e-12)
        assert 1 < graded["expected"] < 5
    assert json.loads(files[0][0])["judge"]["weights"] == one_thread.identity["weights"]
