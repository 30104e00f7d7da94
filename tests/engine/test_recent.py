"""Prompts that were rendered last are held, as far as there is room."""

import pytest

from gateway.core.types import RenderedRequest
from gateway.engine.recent import Recent


class Asking:
    """Asks for texts of one token a character, and keeps which had to be made."""

    def __init__(self, tokens: int) -> None:
        self.recent = Recent(tokens)
        self.made: list[str] = []

    def ask(self, text: str) -> None:
        found = self.recent.get(text, lambda: self._make(text))
        assert found.text == text

    def _make(self, text: str) -> RenderedRequest:
        self.made.append(text)
        return RenderedRequest(text, tuple(text.encode()))


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    asking = Asking(20)
    for text in ("a" * 9, "b" * 9, "a" * 9, "c" * 9, "a" * 9, "b" * 9):
        asking.ask(text)
    assert [text[0] for text in asking.made] == ["a", "b", "c", "b"]


def test_a_prompt_larger_than_the_room_is_not_held_and_leaves_the_room_whole() -> None:
    asking = Asking(20)
    for text in ("d" * 50, "d" * 50, "a" * 9, "b" * 9, "a" * 9):
        asking.ask(text)
    assert [text[0] for text in asking.made] == ["d", "d", "a", "b"]


def test_what_cannot_be_made_is_not_held() -> None:
    def fail() -> RenderedRequest:
        raise ValueError("no template")

    asking = Asking(20)
    for _ in range(2):
        with pytest.raises(ValueError, match="no template"):
            asking.recent.get("a", fail)
    asking.ask("a")
    assert asking.made == ["a"]
