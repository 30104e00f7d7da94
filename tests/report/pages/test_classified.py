"""What `gateway classify` prints of one text."""

import pytest

from gateway.evaluation.classify import Classified
from gateway.report.pages import classified
from gateway.scoring.results import Status


def said(*, exact: bool, off_by: float) -> str:
    found = Classified(
        status=Status.OK,
        answer="bug",
        probabilities={"question": 0.25, "bug": 0.75},
        text="",
        reason="",
        exact=exact,
        model="m",
        fingerprint="f",
        off_by=off_by,
    )
    first, rest = classified.sections(found)
    assert first.lines == ("bug",)
    assert rest.facts == (("0.750", "bug"), ("0.250", "question"))
    return " ".join(rest.lines)


@pytest.mark.parametrize(
    ("exact", "off_by", "expected"),
    [
        (True, 0.0, ""),
        (True, 1e-7, ""),
        (False, 0.0, "rest on bounds"),
        (False, 0.125, "off by 0.12 at most, since not every label was finished"),
    ],
)
def test_probabilities_that_are_not_exact_say_by_how_much(
    exact: bool, off_by: float, expected: str
) -> None:
    shown = said(exact=exact, off_by=off_by)
    assert expected in shown
    assert bool(shown) is not exact
