"""`gateway parity` as a person and a script meet it."""

import json
from pathlib import Path

from tests.cli.conftest import FAKE, Gateway

OTHERS = """
[models.twin]
like = "fake"
[models.small]
backend = "fake"
source = { path = "none" }
context_length = 50
"""
MINE = ("--task", "mine", "--data", "test.csv", "--strategy", "scored")


def write_models(folder: Path) -> None:
    (folder / "models.toml").write_text(FAKE + OTHERS)


def test_two_that_agree_end_well(gateway: Gateway, fake: Path) -> None:
    write_models(fake)
    done = gateway("parity", "fake", "twin", *MINE)
    assert done.code == 0
    assert "all labels agree: a score measured with one" in done.out
    assert "unverified" in done.out
    assert done.err == ""


def test_json_says_everything(gateway: Gateway, fake: Path) -> None:
    write_models(fake)
    done = gateway("parity", "fake", "twin", *MINE, "--json", "--limit", 4, "--tokens", 7)
    assert done.code == 0
    said = json.loads(done.out)
    assert (said["holds"], said["tokens"], said["totals"]["labels_agree"]) == (True, 7, 4)
    assert (said["a"]["model"], said["b"]["model"]) == ("fake", "twin")
    assert (said["differing"], len(said["items"])) == (["weights"], 4)


def test_items_that_failed_are_counted_with_their_reason_and_exit_code_1(
    gateway: Gateway, fake: Path
) -> None:
    write_models(fake)
    done = gateway("parity", "fake", "small", *MINE)
    assert done.code == 1
    assert "B failed on" in done.out
    assert "tokens of context and the model has 50" in done.out


def test_what_can_not_be_asked_is_said(gateway: Gateway, fake: Path) -> None:
    unknown = gateway("parity", "fake", "gpt-4o", *MINE)
    assert (unknown.code, "known:" in unknown.err) == (2, True)
    absent = gateway("parity", "fake", "fake", "--task", "mine", "--data", "none.csv")
    assert (absent.code, "none.csv" in absent.err) == (2, True)


def test_help_says_what_is_compared_and_what_the_exit_code_means(gateway: Gateway) -> None:
    said = gateway("parity", "--help").out
    for word in ("same tokens", "temperature 0", "log-probabilities", "unknown", "Exit code 1"):
        assert word in said
