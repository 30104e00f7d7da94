"""What data spells is never a control token, and costs no space that is not there."""

import re
from collections.abc import Sequence

from gateway.engine.prompt import PromptReader
from gateway.engine.tokenizer import Segment
from gateway.models.chat_template import Written
from tests.support.rendering import Bytes

CONTROL = re.compile("<end>|<think>")
END, THINK = 256, 257


class Pieces(Bytes):
    """A control token and one that is found even where none are asked for.

    Args:
        space: put before a text, as SentencePiece does; behind a control token too.
    """

    _texts = ("<end>", "<think>")

    def __init__(self, space: str = "") -> None:
        super().__init__()
        self._space = space

    def special_text(self, which: str) -> str:
        return "<end>" if which == "eos" else ""

    def token_text(self, token: int) -> str:
        return self._texts[token - 256] if token > 255 else chr(token)

    def text_of(self, tokens: Sequence[int]) -> str:
        return "".join(map(self.token_text, tokens))

    def tokenize(self, segments: Sequence[Segment], *, add_special: bool) -> list[int]:
        made: list[int] = []
        for text, special in segments:
            found = "(<end>|<think>)" if special else "(<think>)"
            for piece in filter(None, re.split(found, text)):
                if re.fullmatch(found, piece):
                    made.append(256 + self._texts.index(piece))
                else:
                    made += (self._space + piece).encode()
        return made


def read(space: str, *parts: tuple[str, int]) -> str:
    text = "".join(part for part, _ in parts)
    origins = b"".join(bytes([origin]) * len(part) for part, origin in parts)
    vocabulary = Pieces(space)
    made = PromptReader(vocabulary, CONTROL).tokens(Written(text, origins))
    shown = ["{END}" if t == END else "{THINK}" if t == THINK else chr(t) for t in made]
    return "".join(shown)


def test_only_the_template_s_are_control_tokens() -> None:
    assert read("", ("<end>a", 0), ("x<end>y", 1), ("<end>b", 0)) == "{END}ax<end>y{END}b"
    assert read("", ("<end>a", 1)) == "<end>a"
    assert read("", ("<end>a<think>", 0)) == "{END}a{THINK}"


def test_a_token_that_is_always_found_is_cut() -> None:
    assert read("", ("<think>", 0), ("x<think>y", 1)) == "{THINK}x<think>y"


def test_no_space_is_put_where_a_text_goes_on() -> None:
    plain = read("_", ("<end>a", 0), ("xy", 1), ("<end>b", 0))
    assert plain == "{END}_axy{END}_b"
    assert read("_", ("<end>a", 0), ("x<end>y", 1), ("<end>b", 0)) == "{END}_ax<end>y{END}_b"
    assert read("_", ("<end>a", 0), ("x<think>y", 1)) == "{END}_ax<think>y"


def test_a_text_that_stands_behind_others_has_its_tags_and_no_space_before_it() -> None:
    for space in ("", "_"):
        made = PromptReader(Pieces(space), CONTROL).continued(Written("a<end>", bytes(6)))
        assert made == [*b"a", END]


def test_what_a_label_spells_with_the_end_of_a_prompt_is_no_token() -> None:
    prompt = Written("a<e", bytes(3)).more("nd>")
    assert [m.start() for m in prompt.spelled(CONTROL)] == [1]
