"""How a chat template has a model think, and how a thought is left out.

Nothing is believed by a model's name. What a template reads is found in its tags, and what a
setting does is seen by rendering a probe.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from gateway.core.errors import InvalidRequest
from gateway.core.types import Message
from gateway.models.chat_template import ChatTemplate
from gateway.models.reasoning import CLOSES, OPENS, closing_of

OFF, ON = "off", "on"
LEVELS = ("minimal", "low", "medium", "high", "xhigh", "max")
USUAL = "medium"
"""What clients say who ask for nothing."""
SETTINGS = (OFF, ON, *LEVELS)
"""What an entry or a request may say of how much a model thinks."""

Variables = Mapping[str, object]
"""What a chat template is given beside the conversation."""

_SWITCHES: Mapping[str, tuple[object, object]] = {
    "enable_thinking": (False, True),
    "thinking": (False, True),
    "enable_reasoning": (False, True),
    "reasoning": (False, True),
    "thinking_mode": ("disabled", "enabled"),
    "thinking_option": ("off", "on"),
    "thinking_budget": (0, -1),
}
"""Variables by which templates leave a thought out, and ask for one."""
EFFORTS = ("reasoning_effort", "thinking_effort", "reasoning_strength")
"""Variables that say how much to think."""
_NO_EFFORT = ("none", "no_think", "minimal")

_QUESTION, _ANSWER = "the-question-of-a-probe", "the-answer-of-a-probe"
_PAIR = rf"(?:(?:{OPENS.pattern})\s*)?(?:{CLOSES.pattern})\s*"
_CLOSED_AT_END = re.compile(rf"{_PAIR}$", re.IGNORECASE)
_OPEN_AT_END = re.compile(rf"(?P<tag>{OPENS.pattern})(?P<space>\s*)$", re.IGNORECASE)
_CLOSED = re.compile(_PAIR, re.IGNORECASE)
_TURNS_TO_ANSWER = "<|end|><|begin|>assistant<|content|>"
_FIRST = re.compile(r"<\|[^<>|]+\|>")


@dataclass(frozen=True, slots=True)
class ThoughtTags:
    """What stands around a thought that a model writes behind a prompt."""

    opening: str
    """What begins it, with the space behind it; empty: the prompt ends with that."""
    before: str
    """The space before the tag that ends it."""
    tag: str
    """What ends it."""
    behind: str
    """What stands between that tag and the answer."""

    @property
    def first(self) -> str:
        """The first control token of the tag: where a thought ends with several, the others say
        what comes next."""
        found = _FIRST.match(self.tag)
        return found.group() if found else self.tag

    @property
    def closing(self) -> str:
        """All that stands between a thought and an answer."""
        return f"{self.before}{self.tag}{self.behind}"


class Thoughts:
    """Of one chat template.

    Args:
        special: as `ChatTemplate.render`.
    """

    def __init__(self, template: ChatTemplate, special: Mapping[str, str]) -> None:
        self._template = template
        self._special = special

    @cached_property
    def known(self) -> bool:
        """Whether the template knows of thoughts, or puts anything before an answer."""
        source, names = self._template.source, self._template.variables
        reads = names & {*_SWITCHES, *EFFORTS}
        return bool(reads or OPENS.search(source) or CLOSES.search(source)) or bool(
            self._before_answer({})
        )

    def variables(self, asked: str) -> Variables:
        """What the template is given for a setting; nothing where none is asked for.

        Raises:
            InvalidRequest: the template has no such setting.
        """
        if not asked:
            return {}
        if asked == OFF:
            return self.off
        if asked == ON:
            return self._on
        return self._level(asked)

    @cached_property
    def off(self) -> Variables:
        """By which the template leaves a thought out; nothing where it has no switch."""
        usual = self._begun({})
        for given, is_effort in self._candidates():
            shown = self._begun(given)
            if shown is None or shown == usual or _OPEN_AT_END.search(shown):
                continue
            if not is_effort or _behind_question(shown) != _behind_question(usual or ""):
                return given
        return {}

    def _candidates(self) -> Iterator[tuple[Variables, bool]]:
        """Each with whether it is an effort, which may be no more than a word in the prompt."""
        names = self._template.variables
        yield from (({name: off}, False) for name, (off, _) in _SWITCHES.items() if name in names)
        yield from (({name: no}, True) for name in EFFORTS if name in names for no in _NO_EFFORT)

    @property
    def _on(self) -> Variables:
        names = self._template.variables
        found = {name: on for name, (_, on) in _SWITCHES.items() if name in names}
        shown = self._begun(found) if found else None
        if shown is not None:
            return found
        if self.known:
            return {}
        raise InvalidRequest(
            "this model's chat template knows of no thoughts", parameter="reasoning_effort"
        )

    def _level(self, asked: str) -> Variables:
        names = [name for name in EFFORTS if name in self._template.variables]
        if asked == USUAL and not names:
            return {}
        given: Variables = {**dict.fromkeys(names, asked), **(self._on if names else {})}
        if not names or self._begun(given) is None:
            known = "only on and off are known" if self.known else "it knows of no thoughts"
            raise InvalidRequest(
                f"this model's chat template has no thinking of the level {asked!r}: {known}",
                parameter="reasoning_effort",
            )
        return given

    def closing(self, variables: Variables) -> tuple[str, str]:
        """What stands between a prompt and an answer without a thought; and of that the tag that
        the vocabulary must have as a token, because the template itself does not write it there.

        Nothing, where the template has an answer begin right there.
        """
        begun = self._begun(variables) or ""
        opened = _OPEN_AT_END.search(begun)
        header = self._before_answer(variables)
        if opened is None:
            return header, ""
        if header and header.lstrip().startswith(closing_of(opened["tag"])):
            return header, ""
        tag = closing_of(opened["tag"])
        space = opened["space"]
        return f"{space}{tag}{space * 2}{header}", tag

    def tags(self, variables: Variables) -> ThoughtTags | None:
        """What stands around a thought; None: the template knows of none that is told by tags."""
        begun = self._begun(variables)
        opened = _OPEN_AT_END.search(begun or "")
        written = opened["tag"] if opened else self._written_tag
        if begun is None or not written or (_CLOSED_AT_END.search(begun) and not opened):
            return None
        space = opened["space"] if opened else self._space_behind(written)
        tag = _TURNS_TO_ANSWER if self._turns_to_answer(written) else closing_of(written)
        behind = self._behind_thought(variables, space)
        opening = "" if opened else written + space
        return ThoughtTags(opening, space, tag, "" if tag.endswith(behind) else behind)

    @cached_property
    def _written_tag(self) -> str:
        """The tag with which the template begins a thought: of one that it closes again, or in its
        source. Empty: there is none."""
        if tag := OPENS.match(self._closed_pair):
            return tag.group()
        found = [each.group() for each in OPENS.finditer(self._template.source)]
        return next((tag for tag in found if "analysis" in tag), found[0] if found else "")

    @cached_property
    def _closed_pair(self) -> str:
        """A thought without a word, as the template writes it to leave one out; empty: it writes
        none."""
        found = (_CLOSED_AT_END.search(self._begun(given) or "") for given in ({}, self.off))
        pairs = [each.group() for each in found if each is not None]
        return next(filter(OPENS.match, pairs), "")

    def _turns_to_answer(self, tag: str) -> bool:
        """Whether a turn of its own ends a thought, as Solar's templates have it."""
        return tag == "<|think|>" and f"<|begin|>assistant{tag}" in self._template.source

    def _behind_thought(self, variables: Variables, space: str) -> str:
        """What stands between the end of a thought and the answer."""
        header = self._before_answer(variables)
        ends = [each.end() for each in CLOSES.finditer(header)]
        if ends:
            return header[ends[-1] :]
        pair = self._closed_pair
        return (pair[len(pair.rstrip()) :] if pair else space * 2) + header

    def _space_behind(self, tag: str) -> str:
        source = self._template.source
        return "\n" if f"{tag}\\n" in source or f"{tag}\n" in source else ""

    def _before_answer(self, variables: Variables) -> str:
        """What the template writes before an answer and not where one begins, thoughts apart."""
        begun, shown = self._begun(variables), self._answered(variables)
        if begun is None or shown is None:
            return ""
        if shown.startswith(begun):
            more = shown[len(begun) :]
            return more if more.strip() else ""
        closed = _CLOSED_AT_END.search(begun)
        bare = _OPEN_AT_END.sub("", begun[: closed.start()] if closed else begun)
        if not shown.startswith(bare):
            # The switch closes it in a turn of its own, say: an answer is as without the switch.
            return self._before_answer({}) if variables else ""
        header = _CLOSED.sub("", shown[len(bare) :])
        return header if header.strip() else ""

    def _begun(self, variables: Variables) -> str | None:
        try:
            return self._template.render(
                (Message("user", _QUESTION),), special=self._special, variables=variables
            )
        except InvalidRequest:
            return None

    def _answered(self, variables: Variables) -> str | None:
        turns = (Message("user", _QUESTION), Message("assistant", _ANSWER))
        try:
            shown = self._template.render(
                turns, special=self._special, variables=variables, begin_answer=False
            )
        except InvalidRequest:
            return None
        before, found, _ = shown.rpartition(_ANSWER)
        return before if found else None


def _behind_question(shown: str) -> str:
    return shown.rpartition(_QUESTION)[2]
