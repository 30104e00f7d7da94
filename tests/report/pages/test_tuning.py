"""What a person reads when an adapter is made."""

from pathlib import Path
from typing import Any

from gateway.report.pages.tuning import next_lines
from gateway.tuning.run import TuningResult

NOTHING: Any = None


def lines(needs: str, adapters: Path | None = None) -> list[str]:
    return list(next_lines(TuningResult("m+mine", needs, NOTHING, ()), "brief", adapters))


def test_what_the_model_needs_first_is_said_before_its_name() -> None:
    command = "gateway adapters export mine --base m"
    first, then = lines(command)
    assert first.endswith(command)
    assert then == "then it is the model m+mine, with --strategy brief"
    assert lines("") == ["it is the model m+mine, with --strategy brief"]


def test_a_folder_that_other_commands_do_not_look_in_is_named(tmp_path: Path) -> None:
    assert lines("", tmp_path)[0] == f"in every command: GATEWAY_ADAPTERS={tmp_path}"
