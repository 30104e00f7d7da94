"""No command and no option of an earlier version is gone."""

from tests.conftest import ROOT
from tests.support.commands import lines

BEFORE = ROOT / "tests" / "fixtures" / "before" / "commands.txt"
"""What `tests.support.commands` said of commit 29efcf3."""


def test_what_could_be_said_can_be_said() -> None:
    before = BEFORE.read_text(encoding="utf-8").splitlines()
    assert set(before) - set(lines()) == set()
