import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.core.names import check_name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "/etc", "a\0b", "-x", "ä", "a" * 200, "a\n"]
)
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no name of a task"):
        check_name(name, "task")


@given(st.text())
def test_what_is_accepted_has_no_separator(name: str) -> None:
    try:
        accepted = check_name(name, "task")
    except ConfigError:
        return
    assert accepted == name
    assert not set(name) & set("/\\\0")
    assert name.strip(".")
