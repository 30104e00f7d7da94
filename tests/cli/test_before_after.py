"""`gateway adapters compare`: from an adapter's folder to what it was worth, in one command."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Gateway
from tests.cli.test_tune import AT_ONE, FAST, LEARN, world

__all__ = ["world"]

COMPARE = ("adapters", "compare", "learned", "--base", "tiny", "--store", "s.sqlite")
ITEMS = ("--data", "train.csv", "--strategies", "scored")


@pytest.fixture
def learned(gateway: Gateway, world: Path) -> Path:
    done = gateway(*LEARN, *FAST, *AT_ONE, "--curve", "8,16")
    assert done.code == 0, done.err
    assert "held-out score by training items" in done.out
    assert "learned-8: 8 of 34 items" in done.err
    (world / "text.txt").write_text("amber birch cedar dune elm sun rain dry wet " * 200)
    return world


def test_before_and_after_are_shown_with_what_it_cost_and_what_was_forgotten(
    gateway: Gateway, learned: Path
) -> None:
    done = gateway(*COMPARE, *ITEMS, "--neutral", "text.txt", "--out", "report")
    assert done.code == 0, done.err
    assert "What fine-tuning was worth" in done.out
    assert "of tiny/scored/sum, the first of the prompts" in " ".join(done.out.split())
    assert "Perplexity of the neutral text" in done.out
    assert "Training took" in done.out
    assert "is paid back after" in done.out
    assert "tiny+learned/scored" in (learned / "report" / "ab.md").read_text()
    assert "is paid back after" in (learned / "report" / "worth.md").read_text()
    worth = json.loads((learned / "report" / "worth.json").read_text())
    assert worth["tuned"]["cell"] == "tiny+learned/scored/sum"
    assert worth["training"]["epochs"] == 3
    assert set(worth["break_even"]) == {"tiny/scored/sum"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--neutral", "absent.txt"), "absent.txt: cannot be read"),
        (("--strategies", "nothing"), "nothing"),
        (("--base", "nobody"), "no model is called 'nobody'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    gateway: Gateway, learned: Path, more: tuple[str, ...], said: str
) -> None:
    done = gateway(*COMPARE, *ITEMS, *more)
    assert done.code == 2
    assert said in done.err


def test_without_a_card_the_task_is_not_known(gateway: Gateway, learned: Path) -> None:
    (learned / "adapters" / "learned" / "card.toml").unlink()
    done = gateway(*COMPARE, *ITEMS)
    assert done.code == 2
    assert "does not say on which task" in done.err
    assert "gateway ab" in done.err
