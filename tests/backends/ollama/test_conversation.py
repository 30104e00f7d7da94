"""A conversation that the server's own template would lose a part of is not sent."""

import pytest

from gateway.backends.ollama.conversation import ServedConversations
from gateway.core.errors import InvalidRequest
from gateway.core.types import Message
from gateway.models.spec import System

WHOLE = "{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}<assistant>"
LEGACY = "{{ if .System }}<s>{{ .System }}{{ end }}<u>{{ .Prompt }}<a>{{ .Response }}"
NO_SYSTEM = "<u>{{ .Prompt }}<a>{{ .Response }}"
ONLY_USERS = '{{ range .Messages }}{{ if eq .Role "user" }}{{ .Content }}{{ end }}{{ end }}'
UNTOLD = "{{ .Prompt }}"
UNKNOWN = "{{ .Prompt | no_such_function }}"

ASKED = (Message("system", "Sort them."), Message("user", "It breaks."))
SHOWN = (ASKED[0], Message("user", "It works."), Message("assistant", "no"), ASKED[1])


def conversations(template: str, system: System = "auto") -> ServedConversations:
    return ServedConversations("smol", template, system)


@pytest.mark.parametrize("template", [WHOLE, LEGACY, UNTOLD, UNKNOWN])
def test_what_the_template_shows_is_sent_as_it_is(template: str) -> None:
    found = conversations(template)
    assert not found.merges_system
    assert found.of(SHOWN) == SHOWN


@pytest.mark.parametrize("template", [NO_SYSTEM, ONLY_USERS])
def test_a_system_message_that_the_template_drops_goes_into_the_users_turn(template: str) -> None:
    found = conversations(template)
    assert found.merges_system
    assert found.of(ASKED) == (Message("user", "Sort them.\n\nIt breaks."),)


def test_it_is_refused_where_the_entry_says_so_and_merged_where_it_says_that() -> None:
    with pytest.raises(InvalidRequest, match="leaves out the system's turn") as caught:
        conversations(NO_SYSTEM, "refuse").of(ASKED)
    assert 'system = "merge"' in caught.value.hint
    assert conversations(WHOLE, "merge").of(ASKED)[0].role == "user"


def test_another_turn_that_is_lost_is_named() -> None:
    with pytest.raises(InvalidRequest, match="leaves out the assistant's turn") as caught:
        conversations(ONLY_USERS).of(SHOWN)
    assert 'route = "raw"' in caught.value.hint
