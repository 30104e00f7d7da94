import pytest

from gateway.scoring.metrics import metric_name


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
