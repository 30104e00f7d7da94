"""Which tokens of an answer are of its message: those of thoughts, of calls and of tags are not."""

import codecs
from collections.abc import Callable, Sequence

from gateway.core.types import Completion, TokenLogprob
from gateway.models.reasoning import tags_in
from gateway.server.tools import ParsedAnswer, Telling

_UNFINISHED = "\ufffd"


class MessageTokens:
    """Finds them as the answer grows: each is told once, with the text that it is of.

    Args:
        piece: the bytes of a token.
    """

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        self._piece = piece
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = ""
        self._tokens: list[tuple[TokenLogprob, int, int]] = []
        """Each with the characters that it ends, from and to."""
        self._told = 0
        """Of the tokens."""
        self._read = 0
        """Of the text, what it is of is known up to here."""

    def add(self, tokens: Sequence[TokenLogprob]) -> str:
        """Take the next ones; return their text, without a character that they leave unfinished."""
        begun = len(self._text)
        for token in tokens:
            at = len(self._text)
            self._text += self._decoder.decode(self._piece(token.token_id))
            self._tokens.append((token, at, len(self._text)))
        return self._text[begun:]

    def end(self) -> None:
        """No more follow: an unfinished character becomes U+FFFD."""
        self._text += self._decoder.decode(b"", final=True)

    def of(self, new: ParsedAnswer) -> tuple[TokenLogprob, ...]:
        """Those of what is new of the content, which stands in the text behind what was new before
        it."""
        before = self._read
        self._pass(new.thought.strip())
        place = self._place(new.content, before)
        if place is None and new.content.endswith(_UNFINISHED):
            self.end()  # Its text was told as that of a character that is not finished any more.
            place = self._place(new.content, before)
        if place is None:
            return ()
        start, end = place
        self._read = max(self._read, end)
        found = []
        while self._told < len(self._tokens) and self._tokens[self._told][1] < end:
            token, begins, ends = self._tokens[self._told]
            self._told += 1
            if ends > start or begins == ends == start:
                found.append(token)
        return tuple(found)

    def _place(self, content: str, before: int) -> tuple[int, int] | None:
        """Where it stands: behind what was thought, or before it."""
        return self._find(content, self._read) or self._find(content, before)

    def _pass(self, thought: str) -> None:
        if place := self._find(thought, self._read):
            self._read = place[1]

    def _find(self, part: str, since: int) -> tuple[int, int] | None:
        if not part:
            return None
        waiting = self._text[since:]
        for start, end in tags_in(waiting):
            waiting = waiting[:start] + "\0" * (end - start) + waiting[end:]
        at = waiting.find(part)
        return None if at < 0 else (since + at, since + at + len(part))


def message_tokens(
    done: Completion, said: ParsedAnswer, telling: Telling, piece: Callable[[int], bytes]
) -> tuple[TokenLogprob, ...]:
    """Those of a whole answer: the same as of one that grows.

    Args:
        telling: has let nothing through yet.
    """
    growing = MessageTokens(piece)
    found: list[TokenLogprob] = []
    left = len(done.text)  # Behind it the tokens spell what has ended the answer.
    for token in done.logprobs or ():
        text = growing.add([token])[:left]
        left -= len(text)
        found += growing.of(telling.add(text))
    growing.end()
    return (*found, *growing.of(telling.rest(done, said)))
