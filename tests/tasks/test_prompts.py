from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.fake import FakeBackend
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.core.errors import ConfigError
from gateway.core.types import Answer
from gateway.models.environment import shipped
from gateway.models.spec import ModelSpec, PathSource
from gateway.tasks.exemplars import Exemplar
from gateway.tasks.prompts import (
    GAP,
    PromptTemplate,
    RenderedPrompt,
    list_strategies,
    load_template,
)
from gateway.tasks.task import list_tasks, load_task

SHIPPED = shipped("prompts")
TRIAGE = load_task("issue-triage", SHIPPED)
LABELS = ("bug", "feature", "question")
FAKE = FakeBackend(ModelSpec("fake", PathSource(Path())))

MINIMAL = """{# mode = "score" #}
{% block user %}{{ title }}: {{ body }}{% endblock %}
"""


def template(source: str) -> PromptTemplate:
    return PromptTemplate(Path("mine.j2"), source, TRIAGE)


def render(source: str, **fields: str) -> RenderedPrompt:
    whole = {"title": "t", "body": "b", **fields}
    return template(source).render(TRIAGE, LABELS, whole, (), FAKE)


def every_template() -> list[tuple[str, str]]:
    return [
        (name, strategy)
        for name in list_tasks(SHIPPED)
        for strategy in list_strategies(load_task(name, SHIPPED), SHIPPED)
    ]


@pytest.mark.parametrize(("name", "strategy"), every_template())
def test_every_shipped_template_renders_what_it_is_given(name: str, strategy: str) -> None:
    task = load_task(name, SHIPPED)
    labels = LABELS if task.kind == "classification" else ()
    fields = {field: f"the {field} of it" for field in task.fields}
    prompt = load_template(task, strategy, SHIPPED).render(task, labels, fields, (), FAKE)
    assert [m.role for m in prompt.messages] == ["system", "user"]
    for field in fields.values():
        assert field in prompt.messages[-1].content
    whole = "".join(m.content for m in prompt.messages)
    for label in labels:
        assert label in whole
    assert "{{" not in whole


@pytest.mark.parametrize("name", list_tasks(SHIPPED))
def test_every_shipped_task_has_the_three_strategies(name: str) -> None:
    known = list_strategies(load_task(name, SHIPPED), SHIPPED)
    assert known[:3] == ["zero_shot", "few_shot", "cot"]
    assert set(known[3:]) <= {"brief"}, "for adapters: the text alone"


def test_exemplars_are_turns_before_the_question() -> None:
    shown = [
        Exemplar("1", {"title": "one", "body": "x"}, "bug"),
        Exemplar("2", {"title": "two", "body": "y"}, "question"),
    ]
    few = load_template(TRIAGE, "few_shot", SHIPPED)
    asked = {"title": "three", "body": "z"}
    prompt = few.render(TRIAGE, LABELS, asked, shown, FAKE)
    roles = [m.role for m in prompt.messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [m.content for m in prompt.messages if m.role == "assistant"] == ["bug", "question"]
    assert [w in prompt.messages[1].content for w in ("one", "two", "three")] == [
        True,
        False,
        False,
    ]


def test_an_exemplar_answers_as_the_model_is_to_answer() -> None:
    source = MINIMAL + "{% block answer %}Label:\n{% endblock %}"
    shown = [Exemplar("1", {"title": "one", "body": "x"}, "bug")]
    prompt = template(source).render(TRIAGE, LABELS, {"title": "t", "body": "b"}, shown, FAKE)
    assert prompt.messages[1].content == "Label:\nbug"
    assert prompt.answer_start == "Label:\n"


def test_numbers_and_json_are_written_plainly() -> None:
    cases: list[tuple[str, Answer, str]] = [
        ("story-points", 3.0, "3"),
        ("story-points", 0.5, "0.5"),
        ("issue-fields", {"type": "bug", "priority": "low"}, '{"type": "bug", "priority": "low"}'),
    ]
    for name, gold, written in cases:
        task = load_task(name, SHIPPED)
        fields = dict.fromkeys(task.fields, "x")
        shown = [Exemplar("1", fields, gold)]
        prompt = load_template(task, "few_shot", SHIPPED).render(task, (), fields, shown, FAKE)
        assert prompt.messages[2].content == written


SHORT = """{#
mode = "score"
[shorten]
body = { tokens = 20, keep = "KEEP" }
#}
{% block user %}{{ body }}{% endblock %}
"""


def test_a_long_field_keeps_its_head_and_says_so() -> None:
    prompt = render(SHORT.replace("KEEP", "head"), body="0123456789" * 10)
    assert prompt.messages[0].content == "01234567890123456789"
    assert prompt.shortened == {"body": (100, 20)}


def test_a_long_field_keeps_head_and_tail_with_a_gap_between() -> None:
    prompt = render(SHORT.replace("KEEP", "head_tail"), body="a" * 50 + "z" * 50)
    assert prompt.messages[0].content == "a" * 7 + GAP + "z" * 6
    assert prompt.shortened == {"body": (100, 20)}


def test_a_field_that_fits_is_left_alone() -> None:
    prompt = render(SHORT.replace("KEEP", "head"), body="x" * 20)
    assert (prompt.messages[0].content, prompt.shortened) == ("x" * 20, {})


@pytest.mark.parametrize("keep", ["head", "head_tail"])
def test_a_real_tokenizer_counts_the_tokens(smollm2: LlamaCppBackend, keep: str) -> None:
    source = SHORT.replace("KEEP", keep).replace("{{ body }}", "<{{ body }}>")
    text = "Ein Ünïcode-Text 🎉 with\n```code```; " * 30
    prompt = template(source).render(TRIAGE, LABELS, {"title": "t", "body": text}, (), smollm2)
    before, after = prompt.shortened["body"]
    assert before == smollm2.count(text)
    shown = prompt.messages[0].content[1:-1]
    assert after == smollm2.count(shown)
    assert 15 <= after <= 22
    assert text.startswith(shown.split(GAP)[0])


@given(st.text(), st.text())
def test_a_field_is_text_and_never_a_template(title: str, body: str) -> None:
    prompt = render(MINIMAL, title=title, body=body)
    assert prompt.messages[0].content == f"{title}: {body}".strip()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% block user %}x{% endblock %}", "the settings are missing"),
        ("{# mode = #}", "no valid TOML"),
        ('{# mode = "shout" #}', "settings: mode"),
        ('{# mode = "score"\nmore = 1 #}', "settings: unknown key 'more'"),
        ('{# mode = "score"\n[shorten]\nbody = { tokens = 1, keep = "head" } #}', "shorten.body"),
        ('{# mode = "score"\n[shorten]\nx = { tokens = 9, keep = "head" } #}', "no field 'x'"),
        ('{# mode = "score" #}{% block user %}', r"mine\.j2:1"),
        (
            '{# mode = "score" #}\n\n{% block user %}{{ titel }}{% endblock %}',
            "'titel' is not known",
        ),
        ('{# mode = "score" #}{% block system %}x{% endblock %}', "no {% block user %}"),
        ('{# mode = "score" #}{% block user %}{% endblock %}{% block b %}{% endblock %}', "'b'"),
    ],
)
def test_a_wrong_template_is_one_error_before_anything_runs(source: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        template(source)
    assert "mine.j2" in caught.value.message


@pytest.mark.parametrize(
    "expression",
    [
        "title.__class__.__mro__",
        "labels.append(1)",
        "title.missing",
        "range(10000000)|list|length",
        "title + 1",
        "labels[0].nope",
    ],
)
def test_the_sandbox_lets_nothing_out(expression: str) -> None:
    source = MINIMAL.replace("{{ title }}", f"{{{{ {expression} }}}}")
    with pytest.raises(ConfigError, match=r"mine\.j2: block user"):
        render(source)


def test_includes_find_nothing() -> None:
    source = MINIMAL.replace("{{ title }}", "{% include '/etc/passwd' %}")
    with pytest.raises(ConfigError, match=r"mine\.j2"):
        render(source)


def test_labels_can_not_be_scored_where_there_are_none() -> None:
    task = load_task("story-points", SHIPPED)
    source = '{# mode = "score" #}{% block user %}{{ title }}{% endblock %}'
    with pytest.raises(ConfigError, match="labels are scored and a number has none"):
        PromptTemplate(Path("mine.j2"), source, task)


def test_an_unknown_strategy_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no strategy 'none'") as caught:
        load_template(TRIAGE, "none", SHIPPED)
    assert "zero_shot, few_shot, cot" in caught.value.hint
    with pytest.raises(ConfigError, match="no name of a strategy"):
        load_template(TRIAGE, "../intent/cot", SHIPPED)
