"""Of an answer's tokens, those of its message are told, whole or as it grows."""

from collections.abc import Sequence

import pytest

from gateway.core.types import Completion, TokenLogprob, ToolCall, Usage
from gateway.models.reasoning import part
from gateway.server.message_tokens import MessageTokens, message_tokens
from gateway.server.tools import Offer, ParsedAnswer, Telling, offered, read
from gateway.server.wire import FunctionDefinition

CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
TOOLS = Offer(offered([FunctionDefinition(name="f")]))


def told(pieces: Sequence[bytes], offer: Offer, *, opened: bool) -> tuple[list[int], ParsedAnswer]:
    """Places of the tokens that are told of an answer of these pieces."""
    tokens = tuple(TokenLogprob(i, "", -1.0) for i in range(len(pieces)))
    text = b"".join(pieces).decode("utf-8", "replace")
    thought = part(text, opened=opened)
    done = Completion(
        text, tuple(range(len(pieces))), "stop", Usage(1, 1), "", tokens, reasoning=thought
    )
    said = read(done, offer)
    telling = Telling(offer, opened=opened)
    found = message_tokens(done, said, telling, pieces.__getitem__)
    return [token.token_id for token in found], said


@pytest.mark.parametrize(
    ("pieces", "opened", "places"),
    [
        ([b"Hi", b" there"], False, [0, 1]),
        ([b"", b"Hi", b"", b"."], False, [0, 1, 2, 3]),
        ([b"<think>", b"4", b"</think>", b"\n\n", b"4"], False, [4]),
        ([b"4", b"</th", b"ink>", b"t"], True, [3]),
        ([b"hm</think>Yes", b"!"], True, [0, 1]),
        ([b"A ", b"\xf0\x9f", b"\x98\x80", b"\xf0\x9f"], False, [0, 1, 2, 3]),
        ([b"<think>", b"hm"], False, []),
        ([b"a <", b" b"], False, [0, 1]),
        ([], False, []),
    ],
)
def test_a_thought_and_its_tags_are_not_of_the_message(
    pieces: list[bytes], opened: bool, places: list[int]
) -> None:
    assert told(pieces, Offer(), opened=opened)[0] == places


def test_a_call_is_not_of_the_message() -> None:
    found, said = told([b"Let me", b" see.", b"\n", CALL.encode()], TOOLS, opened=False)
    assert found == [0, 1]
    assert isinstance(said.calls[0], ToolCall)


def test_what_grows_tells_each_token_once_with_the_text_that_it_is_of() -> None:
    pieces = [b"One", b" two", b" \xc3", b"\xa9", b"."]
    growing = MessageTokens(pieces.__getitem__)
    found = []
    for number in range(len(pieces)):
        text = growing.add([TokenLogprob(number, "", -1.0)])
        new = growing.of(ParsedAnswer(text, ()))
        found.append((text, [token.token_id for token in new]))
    assert found == [("One", [0]), (" two", [1]), (" ", [2]), ("é", [3]), (".", [4])]


def test_the_tokens_of_what_has_ended_an_answer_are_none_of_it() -> None:
    pieces = [b"Hel", b"lo", b"<|e", b"nd|>"]
    tokens = tuple(TokenLogprob(i, "", -1.0) for i in range(4))
    done = Completion("Hello", (0, 1, 2, 3), "stop", Usage(1, 4), "", tokens)
    telling = Telling(Offer(), opened=False)
    found = message_tokens(done, read(done, Offer()), telling, pieces.__getitem__)
    assert [token.token_id for token in found] == [0, 1]


def test_what_is_said_before_a_thought_of_the_same_piece_is_told() -> None:
    pieces = [b"So: ", b"<think>", b"hm"]
    growing = MessageTokens(pieces.__getitem__)
    growing.add([TokenLogprob(number, "", -1.0) for number in range(3)])
    found = growing.of(ParsedAnswer("So: ", (), "hm"))
    assert [token.token_id for token in found] == [0]


def test_a_character_that_stays_unfinished_is_told_with_its_token() -> None:
    pieces = [b"A", b"\xf0\x9f"]
    growing = MessageTokens(pieces.__getitem__)
    found: list[TokenLogprob] = []
    for number, text in enumerate(("A", "\ufffd", "")):
        growing.add([TokenLogprob(number, "", -1.0)] if text else [])
        found += growing.of(ParsedAnswer(text, ()))
    assert [token.token_id for token in found] == [0, 1]
