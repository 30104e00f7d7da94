"""The page about Ollama, against the recordings: none is left out and none is invented."""

import re

import pytest

from tests.backends.ollama import (
    test_recorded_answers,
    test_recorded_contexts,
    test_recorded_models,
    test_recorded_server,
)
from tests.conftest import ROOT

RECORDINGS = ROOT.parent / "shared" / "ollama-wire"
PAGE = ROOT / "gateway" / "backends" / "ollama" / "README.md"
NAME = re.compile(r"`([0-9]{3}-[a-z0-9-]+)`")

TESTED = {
    *test_recorded_server.LISTS,
    *test_recorded_server.IN_MEMORY,
    *test_recorded_server.SHOWN,
    *test_recorded_server.MADE,
    *test_recorded_server.UPLOADED,
    *test_recorded_server.SENT_BEFORE,
    *test_recorded_server.WRITTEN,
    *test_recorded_server.OTHERS,
    *test_recorded_server.REFUSED,
    *test_recorded_models.EVIDENCE,
    *test_recorded_answers.ANSWERED,
    *test_recorded_answers.COMPARED,
    *test_recorded_contexts.CUT,
    *test_recorded_contexts.REFUSED,
    *test_recorded_contexts.PAST,
}


@pytest.fixture(scope="module")
def recorded() -> set[str]:
    found = {file.stem for file in RECORDINGS.glob("*.json")}
    if not found:
        pytest.skip(f"{RECORDINGS} is absent: recorded exchanges are read from there")
    return found


@pytest.fixture(scope="module")
def named() -> set[str]:
    return set(NAME.findall(PAGE.read_text(encoding="utf-8")))


def test_every_recording_is_on_the_page_or_in_a_test(recorded: set[str], named: set[str]) -> None:
    assert recorded - named - TESTED == set()


def test_the_page_and_the_tests_name_only_recordings_that_there_are(
    recorded: set[str], named: set[str]
) -> None:
    assert named - recorded == set()
    assert TESTED - recorded == set()


def test_what_no_test_replays_is_said_never_to_be_sent(recorded: set[str]) -> None:
    never_sent = PAGE.read_text(encoding="utf-8").split("## What the gateway never sends")[1]
    assert recorded - TESTED <= set(NAME.findall(never_sent))


def test_the_page_counts_the_recordings(recorded: set[str]) -> None:
    assert f"{len(recorded)} exchanges" in PAGE.read_text(encoding="utf-8")
