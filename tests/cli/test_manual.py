"""`gateway help`: what there is, a page, and what is no page."""

import re

import pytest

from gateway.cli.app import app, show_error
from gateway.cli.manual import MANUAL, TOPICS
from gateway.core.errors import ConfigError


def ask(*arguments: str) -> None:
    app(["help", *arguments], standalone_mode=False)


def test_it_lists_every_page_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    ask()
    *listed, _, last = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1)[0] for line in listed] == list(TOPICS)
    assert all(len(line.split()) > 3 for line in listed)
    assert "gateway help TOPIC" in last


def test_every_page_of_the_manual_is_a_topic() -> None:
    assert {page.stem for page in MANUAL.glob("*.md")} == set(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_fits_a_terminal(
    topic: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ask(topic)
    shown = capsys.readouterr().out
    assert shown.splitlines()
    assert max(map(len, shown.splitlines())) <= 80
    # Neither the marks of Markdown nor files that a terminal cannot follow.
    assert "```" not in shown
    assert not re.search(r"\]\(\w+\.md\)", shown)


def test_a_link_is_a_command_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    ask("quantize")
    assert "gateway help benchmarks" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("topic", "instead"),
    [
        ("tutorail", "gateway help tutorial"),
        ("Tune", "gateway help tune"),
        ("models", "gateway models --help"),
        ("run", "gateway run --help"),
        ("../design", "gateway help design"),
        ("zzz", "gateway help"),
    ],
)
def test_what_is_no_page_says_what_was_meant(
    topic: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        ask(topic)
    show_error(refused.value)
    assert capsys.readouterr().err.splitlines()[-1].strip() == f"try: {instead}"
