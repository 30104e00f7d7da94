import pytest

from gateway.scoring.metrics import in_shares, merit, metric_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("macro_f1", "macro-F1"),
        ("mae", "MAE"),
        ("field:issue_type", "issue_type exact"),
        ("new_metric", "new_metric"),
    ],
)
def test_metrics_have_the_names_that_people_use(name: str, shown: str) -> None:
    assert metric_name(name) == shown


def test_the_smaller_error_and_the_larger_share_are_better() -> None:
    assert merit("mae", 1.0) > merit("mae", 2.0)
    assert merit("macro_f1", 0.6) > merit("macro_f1", 0.5)


def test_a_margin_of_some_metrics_is_one_of_right_answers() -> None:
    assert all(map(in_shares, ("accuracy", "macro_f1", "field:type", "within_one")))
    assert not any(map(in_shares, ("mae", "log_loss")))
