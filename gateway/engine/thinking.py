"""A thought that is bounded, and an answer of a given form behind it, in one generation.

The model writes its thought freely. Where the budget is used up, the tag that ends it is written in
the model's place. An answer that has to begin so, or to fit a grammar, does from there on.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.engine.jobs import Vocabulary
from gateway.models.chat_template import Written
from gateway.models.families.thoughts import ThoughtTags
from gateway.models.origins import TEMPLATE
from gateway.models.reasoning import Watching

_NOTHING = Written("", b"")


@dataclass(frozen=True, slots=True)
class ThoughtRules:
    """What holds for the thought of one request."""

    tags: ThoughtTags
    tokens_of: Callable[[Written], list[int]]
    """Tokens of a text that stands behind others."""
    opened: bool
    """The prompt ends within the thought."""
    budget: int | None = None
    """Its most tokens."""
    first: bool = False
    """A thought is written, and then the answer, which begins with `start`."""
    start: Written = _NOTHING


class ThoughtGuide:
    """Follows one generation by the rules."""

    def __init__(self, rules: ThoughtRules, vocabulary: Vocabulary) -> None:
        self._rules, self._vocabulary = rules, vocabulary
        self._watching = Watching(opened=rules.opened, only=rules.first)
        self._seen, self._thought = 0, 0
        self._to_write: deque[int] = deque()
        """Tokens that stand next, whatever the model would choose."""
        self.written = 0
        """How many tokens up to the last one were written in the model's place; 0: it was the
        model's own."""
        self._introduced = False
        self.answers = not rules.first
        """What is chosen now belongs to the answer."""

    def instead_of(self, token: int) -> int:
        """The token to take where the model has chosen this one."""
        if not (self._to_write or self.answers):
            self._replace(token)
        if not self._to_write:
            self.written = 0
            return token
        self.written += 1
        return self._to_write.popleft()

    def _replace(self, token: int) -> None:
        """Have others written, where an answer is still to come: nothing ends in its thought, and
        no token is half thought and half answer."""
        if token in self._vocabulary.end_tokens:
            self._close("")
        else:
            text = self._vocabulary.piece(token).decode("utf-8", "replace")
            length = self._watching.ends_within(text)
            self._write(Written(text[:length], bytes(length)))

    def saw(self, text: str) -> None:
        """Take the whole text as it is with the last token."""
        if self.answers and self._rules.first:
            return
        was_inside = self._watching.inside
        self._watching.add(text[self._seen :])
        self._seen = len(text)
        inside = self._watching.inside
        self._thought += inside and (was_inside or bool(self._watching.behind))
        if self._to_write:
            return
        if inside and self._is_over(text):
            self._close(text)
        elif not inside and self._rules.first:
            self._answer()

    def _is_over(self, text: str) -> bool:
        rules = self._rules
        if rules.budget is not None and self._thought >= rules.budget:
            return True
        # Of several control tokens the first has ended it.
        first = rules.tags.first
        return rules.first and first != rules.tags.tag and text.endswith(first)

    def _close(self, text: str) -> None:
        """Have the tag written, or what it lacks where some of it stands there."""
        before, tag = self._rules.tags.before, self._rules.tags.tag
        there = next((n for n in range(len(tag) - 1, 0, -1) if text.endswith(tag[:n])), 0)
        self._write(Written("", b"").more(tag[there:] if there else before + tag, TEMPLATE))

    def _answer(self) -> None:
        """Have written what stands before the answer, once; then it is the model's turn."""
        if not self._introduced:
            self._introduced = True
            there, behind = self._watching.behind, self._rules.tags.behind
            lacks = behind.removeprefix(there) if behind.startswith(there) else behind.lstrip()
            start = self._rules.start
            whole = Written(lacks, bytes([TEMPLATE]) * len(lacks))
            self._write(Written(whole.text + start.text, whole.origins + start.origins))
        self.answers = not self._to_write

    def _write(self, text: Written) -> None:
        if text.text:
            self._to_write.extend(self._rules.tokens_of(text))
