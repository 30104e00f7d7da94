"""A prompt's text into tokens, so that what data spells is never read as a control token."""

import re
from collections.abc import Iterator
from functools import cached_property

from gateway.engine.tokenizer import Segment, Tokenizer
from gateway.models.chat_template import Written

_BEFORE, _PROBE = "\n", "a"
_BEFORES = (_BEFORE, _PROBE)
"""A text is continued where it is read behind a line's end, whose tokens are taken away again."""


class PromptReader:
    """Makes tokens of prompts.

    Args:
        control: matches what would be read as a control token; None: there is none.
    """

    def __init__(self, tokenizer: Tokenizer, control: re.Pattern[str] | None) -> None:
        self._tokenizer = tokenizer
        self._control = control

    def tokens(self, prompt: Written) -> list[int]:
        """Of the whole prompt, with what the vocabulary puts before every text."""
        bos = self._tokenizer.special_text("bos")
        first = not (bos and prompt.text.startswith(bos))
        made: list[int] = []
        for number, (text, special) in enumerate(self._stretches(prompt)):
            begins = first and number == 0
            if special:
                made += self._tokenizer.tokenize([(text, True)], add_special=begins)
            else:
                made += self._before() if begins else []
                made += self._data(text, behind_control=number > 0)
        return made

    def continued(self, text: Written) -> list[int]:
        """Of a text that stands behind others."""
        made: list[int] = []
        for number, (stretch, special) in enumerate(self._stretches(text)):
            if not special:
                made += self._data(stretch, behind_control=True)
            elif number or not self._puts_a_space:
                made += self._tokenizer.tokenize([(stretch, True)], add_special=False)
            else:
                made += self._behind_another(stretch)
        return made

    def _behind_another(self, text: str) -> list[int]:
        """Tokens of a text without the space that is put before the first one."""
        for before in _BEFORES:
            first = self._tokenizer.tokenize([(before, True)], add_special=False)
            whole = self._tokenizer.tokenize([(before + text, True)], add_special=False)
            if whole[: len(first)] == first:
                return whole[len(first) :]
        return self._tokenizer.tokenize([(text, True)], add_special=False)

    def plain(self, text: str) -> list[int]:
        """Of a text that is all data."""
        return self._data(text, behind_control=False)

    def _before(self) -> list[int]:
        return self._tokenizer.tokenize([("", False)], add_special=True)

    def _stretches(self, prompt: Written) -> Iterator[Segment]:
        """The prompt, parted at control tokens where data between them spells one.

        Such a stretch is read in one piece in which there are no control tokens. All else is read
        as it stands.
        """
        theirs = {found.span() for found in prompt.spelled(self._control)} if self._control else ()
        if not theirs or self._control is None:
            yield prompt.text, True
            return
        begin = bound = 0
        spells = False
        ends = [found.span() for found in self._control.finditer(prompt.text)]
        for start, end in [*ends, (len(prompt.text), len(prompt.text))]:
            if (start, end) in theirs:
                spells = True
                continue
            if spells:
                yield from [(prompt.text[begin:bound], True)] if bound > begin else []
                yield prompt.text[bound:start], False
                begin, spells = start, False
            bound = end
        if begin < len(prompt.text):
            yield prompt.text[begin:], True

    def _data(self, text: str, *, behind_control: bool) -> list[int]:
        """A text in which there are no control tokens, whatever it spells.

        Tokens that a vocabulary adds are found even where none are asked for. What is cut in two
        cannot be found.
        """
        continued = behind_control and self._is_continued_behind_control
        made = self._read(text, continued=continued)
        spelled = list(self._control.finditer(text)) if self._control else []
        if not self._control_ids({found.group() for found in spelled}).intersection(made):
            return made
        ends = [found.start() + 1 for found in spelled]
        pieces = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]
        made = []
        for number, piece in enumerate(filter(None, pieces)):
            made += self._read(piece, continued=continued or number > 0)
        return made

    def _control_ids(self, texts: set[str]) -> set[int]:
        read = [self._tokenizer.tokenize([(text, True)], add_special=False) for text in texts]
        return {ids[0] for ids in read if len(ids) == 1}

    def _read(self, text: str, *, continued: bool) -> list[int]:
        """Tokens of a text, without a space before it that is only put at a beginning."""
        alone = self._tokenizer.tokenize([(text, False)], add_special=False)
        if not continued or not self._puts_a_space:
            return alone
        before = self._tokenizer.tokenize([(_BEFORE, False)], add_special=False)
        whole = self._tokenizer.tokenize([(_BEFORE + text, False)], add_special=False)
        return whole[len(before) :] if whole[: len(before)] == before else alone

    @cached_property
    def _puts_a_space(self) -> bool:
        """Whether a text that is read alone gets a space before it, as SentencePiece has it."""
        ids = self._tokenizer.tokenize([(_PROBE, False)], add_special=False)
        return self._tokenizer.text_of(ids) != _PROBE

    @cached_property
    def _is_continued_behind_control(self) -> bool:
        """Whether no such space is put behind a control token."""
        if not self._puts_a_space:
            return False
        end = self._tokenizer.special_text("eos")
        behind = self._tokenizer.tokenize([(end + _PROBE, True)], add_special=False)
        alone = self._tokenizer.tokenize([(_PROBE, False)], add_special=False)
        return behind[-len(alone) :] != alone or not end
