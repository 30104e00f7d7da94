"""Documents say what the code does: commands, links, paths and examples, and in plain sentences."""

import itertools
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.backends.registry import KINDS, load_models
from gateway.cli.app import app
from gateway.cli.manual import MANUAL, TOPICS
from gateway.evaluation.experiment.file import load_experiment
from gateway.evaluation.judge.rubric import load_rubric
from gateway.models import environment
from gateway.tasks.prompts import load_template
from gateway.tasks.task import load_task
from tests.support.imports import ROOT
from tests.support.markdown import blocks, figures, links, sentences, words
from tests.test_dependencies import DIRECTION

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(MANUAL.glob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
MOST_WORDS, MOST_COLUMNS, LINES_OF_README = 20, 100, 120
WITHOUT_A_MODEL = {
    *("help", "plan", "prompts list", "prompts show", "adapters list", "models list"),
    *("data check", "data split", "data import", "data export", "data validate"),
    *("keys create", "keys list", "keys revoke"),
}
"""Commands that are run as the documents have them, unless they are given a model."""
SAMPLE = ROOT / "prompts" / "issue-triage"
NO_KEYS = {"name", "origin", "left_out"}
"""Fields of an entry that are not written in it."""
LANGUAGES = {"sh", "console", "python", "toml", "jinja"}

pages = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands(page: Path) -> Iterator[list[str]]:
    """The words behind `gateway`, of each command in the page's blocks."""
    for block in blocks(text_of(page), "sh", "console"):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            if found := re.match(r"(?:\$ )?gateway (.*)", line):
                yield [x for word in shlex.split(found[1], comments=True) for x in expanded(word)]


def expanded(word: str) -> list[str]:
    """As a shell does with {a,b}."""
    parts = re.split(r"\{([^{}]*,[^{}]*)\}", word)
    choices = [part.split(",") if n % 2 else [part] for n, part in enumerate(parts)]
    return ["".join(each) for each in itertools.product(*choices)]


def resolved(arguments: list[str]) -> tuple[str, Any, list[str]]:
    """A command's name, itself, and what it is given.

    Raises:
        KeyError: there is no such command.
    """
    command: Any = typer.main.get_command(app)
    name, rest = [], list(arguments)
    while hasattr(command, "commands"):
        name.append(rest.pop(0))
        command = command.commands[name[-1]]
    return " ".join(name), command, rest


def work_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that has the files of which the pages speak."""
    for name, sample in (("test", "sample"), ("train", "sample_train")):
        shutil.copy(SAMPLE / f"{sample}.csv", folder / f"{name}.csv")
    (folder / "prompts").symlink_to(ROOT / "prompts")
    (folder / "models.toml").touch()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GATEWAY_DATA", str(folder / "data"))
    monkeypatch.setenv("GATEWAY_MODELS", str(folder / "models.toml"))


@pages
def test_every_command_and_option_that_a_page_has_exists(page: Path) -> None:
    for arguments in commands(page):
        name, command, rest = resolved(arguments)
        command.make_context(name, rest)


@pages
def test_what_needs_no_model_works_as_the_page_has_it(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_in(tmp_path, monkeypatch)
    for arguments in commands(page):
        name, _, rest = resolved(arguments)
        if name in WITHOUT_A_MODEL and not {"-m", "--model", "--ollama"} & set(rest):
            assert not app(arguments, standalone_mode=False), arguments


def test_the_tutorial_works_from_the_first_command_to_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a fake model under the name of the one that it pulls."""
    work_in(tmp_path, monkeypatch)
    entry = '[models.smollm2-135m]\nbackend = "fake"\nsource = { path = "none" }\n'
    (tmp_path / "models.toml").write_text(entry)
    for arguments in commands(MANUAL / "tutorial.md"):
        if arguments[:2] != ["models", "pull"]:
            assert not app(arguments, standalone_mode=False), arguments
    assert (tmp_path / "first" / "report.html").is_file()
    assert (tmp_path / "second" / "ab.html").is_file()


@pages
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in links(text_of(page)):
        assert (page.parent / target).is_file(), target


def test_the_manual_links_to_nothing_outside_the_wheel() -> None:
    for page in MANUAL.glob("*.md"):
        for target in links(text_of(page)):
            assert (MANUAL / target).resolve().is_relative_to(ROOT / "gateway"), (page, target)


@pages
def test_every_path_of_the_repository_that_a_page_names_is_there(page: Path) -> None:
    for path in re.findall(r"`((?:gateway|tests|scripts)/[\w/.-]+)`", text_of(page)):
        assert (ROOT / path).exists(), path


def test_readme_links_every_topic_and_is_short() -> None:
    readme = text_of(ROOT / "README.md")
    assert {f"gateway/manual/{topic}.md" for topic in TOPICS} <= set(links(readme))
    assert len(readme.splitlines()) <= LINES_OF_README


def test_the_python_of_the_readme_is_the_first_of_the_manual_which_is_run() -> None:
    """By `tests.test_api`."""
    (readme,) = blocks(text_of(ROOT / "README.md"), "python")
    assert readme == next(blocks(text_of(MANUAL / "python.md"), "python"))


@pages
def test_sentences_are_short_and_hold_one_figure(page: Path) -> None:
    found = list(sentences(text_of(page)))
    assert found
    assert [each for each in found if len(words(each)) > MOST_WORDS] == []
    if page.stem != "benchmarks":
        assert [each for each in found if len(figures(each)) > 1] == []


@pages
def test_lines_are_wrapped(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    long = [line for line in prose.splitlines() if len(line) > MOST_COLUMNS and line[0] != "|"]
    assert long == []


@pages
def test_blocks_say_their_language_and_python_is_python(page: Path) -> None:
    assert set(re.findall(r"^```(\w*)\n(?:.*?)^```$", text_of(page), re.DOTALL | re.M)) <= LANGUAGES
    for block in blocks(text_of(page), "python"):
        compile(block, str(page), "exec")


CONFIGURATION = text_of(MANUAL / "configuration.md")


def example(language: str, mark: str, page: str = CONFIGURATION) -> str:
    """The one block of a page that holds the mark."""
    (found,) = (block for block in blocks(page, language) if mark in block)
    return found


def test_the_manual_names_every_key_of_an_entry_and_every_variable() -> None:
    named = set(re.findall(r"`(\w+)`", CONFIGURATION))
    for kind in KINDS.values():
        assert set(kind.takes()) - NO_KEYS <= named | {"source"}, kind.backend
    assert set(re.findall(r"\b(?:GATEWAY|OLLAMA)_[A-Z_]+", environment.__doc__ or "")) <= named


def test_the_manual_has_the_table_of_who_may_import_whom() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \|(.*)\|$", text_of(MANUAL / "design.md"), re.M)
    assert {name: allowed.replace(",", "").strip() for name, allowed in rows} == DIRECTION


def test_the_entry_of_the_manual_is_one(tmp_path: Path) -> None:
    entry = example("toml", "[models.").replace('"..."', f'"{"0" * 64}"')
    (tmp_path / "models.toml").write_text(entry)
    spec = load_models(tmp_path / "models.toml").get("my-model")
    assert spec.context_length == 8192


def test_the_task_and_the_prompt_of_the_manual_are_ones(tmp_path: Path) -> None:
    (tmp_path / "spam").mkdir()
    (tmp_path / "spam" / "task.toml").write_text(example("toml", "[[labels]]"))
    assert [label.name for label in load_task("spam", tmp_path).labels] == ["spam", "ham"]
    shutil.copytree(SAMPLE, tmp_path / "issue-triage")
    (tmp_path / "issue-triage" / "own.j2").write_text(example("jinja", "mode"))
    assert load_template(load_task("issue-triage", tmp_path), "own", tmp_path).mode == "score"


def test_the_rubric_of_the_manual_is_one(tmp_path: Path) -> None:
    (tmp_path / "polite").mkdir()
    (tmp_path / "polite" / "rubric.toml").write_text(example("toml", "[grades]"))
    (tmp_path / "polite" / "grade.j2").write_text(
        '{# mode = "score" #}{% block user %}{{ answer }}{% endblock %}'
    )
    assert load_rubric("polite", tmp_path).task.fields == ("answer",)


def test_the_experiment_of_the_manual_is_one(tmp_path: Path) -> None:
    page = text_of(MANUAL / "evaluate.md")
    (tmp_path / "experiment.toml").write_text(example("toml", "exemplar_seeds", page))
    found = load_experiment(tmp_path / "experiment.toml")
    assert found.run.models == ("smollm2-135m", "smollm2-135m-q4_0")
