"""Where a model's thought ends and its answer begins, for models that write tags around it.

A thought is no answer: labels and numbers in it are weighed and dropped again. Every backend parts
it from the answer here, so that who reads answers never meets one.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from gateway.core.types import Message, Reasoning

OPENING, CLOSING = "<think>", "</think>"
"""As most models write them; the patterns know the others."""
_NAMES = (
    r"(?:\w+:)?(?:think|thinking|thoughts?|reasoning)(?::\w+)?"
    "|reflection|scratchpad|analysis|antthinking"
)
_STEPS, _FINAL = "Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"
OPENS = re.compile(
    rf"<(?:{_NAMES})\s?>|<\|(?:{_NAMES})\|>|\[think\]|◁think▷|<\|begin_of_thought\|>"
    r"|<\|start_thinking\|>|<\|channel>thought|<\|open\|>think<\|sep\|>"
    r"|<\|channel\|>(?:analysis|commentary(?! ?(?:to=|json|<\|constrain)))[^<\n]*<\|message\|>"
    rf"|{re.escape(_STEPS)}",
    re.IGNORECASE,
)
CLOSES = re.compile(
    rf"</(?:{_NAMES})\s?>|<\|/(?:{_NAMES})\|>|\[/think\]|◁/think▷|<\|end_of_thought\|>"
    r"|<\|end_thinking\|>|<channel\|>|<\|close\|>think<\|sep\|>|<\|open\|>response<\|sep\|>"
    r"|(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>"
    r"|(?:<\|end\|>)?<\|begin\|>assistant<\|content\|>"
    rf"|{re.escape(_FINAL)}",
    re.IGNORECASE,
)
_CLOSING = {
    "◁think▷": "◁/think▷",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|channel>thought": "<channel|>",
    "<|open|>think<|sep|>": "<|close|>think<|sep|><|open|>response<|sep|>",
    _STEPS: _FINAL,
}
_ENDS = (
    *(CLOSING, "</thinking>", "</thought>", "</reasoning>", "</seed:think>", "</mm:think>"),
    *("[/THINK]", "<|/think|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    *_CLOSING.values(),
)
"""Tags that end thoughts, of which a text may have the beginning that ran out of tokens."""
_LONGEST = 120
"""Characters of the longest tag and the spaces behind it."""
_DROPPED = r"<\|close\|>(?:response|message)<\|sep\|>"
"""Tags around an answer, behind which nothing else begins."""
_TURNS = r"(?:<\|end\|>)?<\|start\|>assistant(?= to=|<\|channel\|>commentary (?:to=|json))"
"""What begins a call to somebody: it ends a thought, and without one it is text of the call."""
_Span = tuple[int, int]
_NEXT = r"(?:(?:<\|end\|>)?<\|start\|>assistant(?=<\|channel\|>))?"
"""What stands before a channel that is not the first."""
_TAG = re.compile(
    f"(?P<opens>{_NEXT}(?:{OPENS.pattern}))|(?P<closes>{CLOSES.pattern})|(?P<turns>{_TURNS})|{_DROPPED}",
    re.IGNORECASE,
)


_BEGINS = re.compile(rf"\s*(?:{OPENS.pattern})", re.IGNORECASE)
"""A text that begins with a thought."""


def part(text: str, *, opened: bool = False, only: bool = False) -> Reasoning | None:
    """The thought and the answer in what was written; None where there is no thought.

    A thought within a thought ends with its own tag. What stands before a closing tag is thought,
    also where no tag has opened one so far: the prompt did, or a token that has no text.

    Args:
        opened: the prompt ended within a thought, as some chat templates begin every answer.
        only: there is no other thought than that with which the answer begins: behind it a tag is
            text of the answer, as a word in JSON that was asked for may be.
    """
    opened = opened or (only and _BEGINS.match(text) is not None)
    if not opened and (only or not _TAG.search(text)):
        return None
    spans, said, depth = _parted(text, opened=opened, only=only)
    whole = "\n".join(filter(None, (text[start:end].strip() for start, end in spans)))
    if depth:
        return Reasoning(whole, None, said if said.strip() else "")
    return Reasoning(whole, said)


def tokens_in(text: str, ends: Sequence[int], *, opened: bool = False, only: bool = False) -> int:
    """How many tokens are of a thought, the tags and the spaces around it apart.

    Args:
        ends: of each token, how long the text is behind it.
        opened: as `part`.
        only: as `part`.
    """
    opened = opened or (only and _BEGINS.match(text) is not None)
    if not opened and (only or not _TAG.search(text)):
        return 0
    found = _parted(text, opened=opened, only=only)[0]
    spans = [_stripped(text, *span) for span in found if text[slice(*span)].strip()]
    starts = [start for start, _ in spans]

    def is_thought(begin: int, end: int) -> bool:
        at = bisect_right(starts, max(begin, end - 1)) - 1
        return at >= 0 and begin < spans[at][1]

    return sum(is_thought(begin, end) for begin, end in zip((0, *ends), ends, strict=False))


def _half_tag(text: str) -> int:
    """How many characters of a tag that ends a thought stand at the end of a text that was cut."""
    return max(
        (n for tag in _ENDS for n in range(2, len(tag)) if text.endswith(tag[:n])), default=0
    )


def _deeper(depth: int, tag: str) -> int:
    """How many thoughts are open behind a tag that opens one. A channel ends the one before it."""
    return max(depth, 1) if "<|channel|>" in tag else depth + 1


def _stripped(text: str, start: int, end: int) -> _Span:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())


def _parted(text: str, *, opened: bool, only: bool = False) -> tuple[list[_Span], str, int]:
    """Where the pieces of the thought stand, the answer, and how many thoughts are open at the
    end."""
    spans: list[_Span] = []
    answer: list[str] = []
    depth, fresh, known = int(opened), opened, opened
    begins: bool | None = None
    for (start, end), tag, behind in _pieces(text):
        piece = text[start:end]
        # Behind a thought that was begun, a tag that ends none makes none of what was told.
        if depth or (tag == "closes" and not known):
            cut = _half_tag(piece) if end == len(text) else 0
            spans.append((start, end - cut))
        else:
            answer.append(piece)
        begins = bool(answer and piece.strip()) if begins is None else begins
        if tag == "turns" and not depth:
            answer.append(text[end:behind])
        elif tag in ("closes", "turns"):
            depth = max(0, depth - 1)
        elif tag == "opens" and not (fresh and not piece.strip()):
            depth = _deeper(depth, text[end:behind])
        # A call to somebody in a thought that goes on behind it belongs to that.
        known = tag == "opens" or (known and tag != "turns")
        # A tag right behind one that opens is the same once more: the prompt's and the model's.
        fresh = tag == "opens"
        if only and not depth:
            answer.append(text[behind:])
            break
    # Spaces behind a thought are none of the answer. What was told before it stays as it is.
    return spans, "".join(answer) if begins else "".join(answer).lstrip(), depth


def opens(prompt: str, messages: Sequence[Message], answer_start: str = "") -> bool:
    """Whether a rendered prompt ends within a thought that its chat template began.

    A message that ends with the tag begins none.

    Args:
        answer_start: what the prompt ends with, behind what the chat template wrote.
    """
    rendered = prompt[: len(prompt) - len(answer_start)]
    opened = _ends_open(rendered) and not _ends_open(messages[-1].content)
    if not answer_start:
        return opened
    return _parted(answer_start, opened=opened)[2] > 0


def tags_in(text: str) -> list[tuple[int, int]]:
    """Where a text has tags around thoughts."""
    return [found.span() for found in _TAG.finditer(text)]


def closing_of(tag: str) -> str:
    """The tag that ends what an opening one begins."""
    if tag in _CLOSING:
        return _CLOSING[tag]
    if tag.startswith("<|channel|>"):
        return "<|end|><|start|>assistant<|channel|>final<|message|>"
    bracket = "<|" if tag.startswith("<|") else tag[0]
    return f"{bracket}/{tag.removeprefix(bracket)}"


def _ends_open(text: str) -> bool:
    return re.search(rf"(?:{OPENS.pattern})\s*$", text[-_LONGEST:], re.IGNORECASE) is not None


def _pieces(text: str) -> Iterator[tuple[_Span, str, int]]:
    """Where the text between the tags stands, each piece with what the tag does that ends it
    ("opens", "closes", "turns" or "") and with where that tag ends; the last has none."""
    start = 0
    for found in _TAG.finditer(text):
        yield (start, found.start()), found.lastgroup or "", found.end()
        start = found.end()
    yield (start, len(text)), "", len(text)


_COMPOSED = r"(?:<\|(?:end|start|begin|channel|open|close)\|>[^<]{0,40}){0,4}"
_BEGINNING = re.compile(rf"{_COMPOSED}(?:<[^<>\s]{{0,40}}|\[[A-Za-z/ ]{{0,24}}|◁[^▷\s]{{0,20}})?$")
"""What may become a tag, at the end of a text that grows."""


class Parting:
    """Parts a text as it grows: what is certain, as `part` has it of the whole.

    Args:
        opened: as `part`.
        only: as `part`.
    """

    def __init__(self, *, opened: bool = False, only: bool = False) -> None:
        self._depth, self._fresh, self._only = int(opened), opened, only
        self._undecided = only and not opened
        """Whether the text may still begin with a thought."""
        self._waiting = ""
        self._parted, self._begun = opened, False
        self._ended, self._thinks, self._said = "", "", ""
        """The thoughts that have ended, the one that goes on, and the answer."""
        self._thought, self._answer = _Growing(), _Growing()

    def add(self, text: str) -> tuple[str, str]:
        """Take the next piece; return what is new of the thought and of the answer."""
        self._waiting += text
        if self._undecided and not self._decide():
            return "", ""
        while self._may_turn and (tag := _TAG.search(self._waiting)):
            self._take(self._waiting[: tag.start()])
            self._turn(self._waiting[: tag.start()], tag)
            self._waiting = self._waiting[tag.end() :]
        at = _certain(self._waiting) if self._may_turn else len(self._waiting)
        self._take(self._waiting[:at])
        self._fresh &= not self._waiting[:at].strip()
        self._waiting = self._waiting[at:]
        thought = _with(self._ended, self._thinks)
        answer = self._said.lstrip() if self._parted and not self._begun else self._said
        return self._thought.fresh(thought), self._answer.fresh(answer)

    def rest(self, thought: str, answer: str) -> tuple[str, str]:
        """What of the whole was not returned yet."""
        return self._thought.rest(thought), self._answer.rest(answer)

    def _decide(self) -> bool:
        """Whether it is known by now if the text begins with a thought."""
        begins = _BEGINS.match(self._waiting) is not None
        said = self._waiting.lstrip()
        if not begins and (not said or _certain(said) == 0):
            return False
        self._undecided, self._depth = False, int(begins)
        self._parted = self._fresh = begins
        return True

    @property
    def _may_turn(self) -> bool:
        """Whether a tag is one."""
        return self._depth > 0 or not self._only

    def _take(self, piece: str) -> None:
        if self._depth:
            self._thinks += piece
        else:
            self._said += piece

    def _turn(self, piece: str, tag: re.Match[str]) -> None:
        does = tag.lastgroup or ""
        if not self._parted:
            self._parted, self._begun = True, bool(self._said.strip()) and does != "closes"
        if does == "turns" and not self._depth:
            self._take(tag.group())
        elif does in ("closes", "turns"):
            self._depth = max(0, self._depth - 1)
        elif does == "opens" and not (self._fresh and not piece.strip()):
            self._depth = _deeper(self._depth, tag.group())
        self._ended, self._thinks = _with(self._ended, self._thinks), ""
        self._fresh = does == "opens"


def _with(thoughts: str, another: str) -> str:
    """Thoughts and one more, each in lines of its own."""
    return "\n".join(filter(None, (thoughts, another.strip())))


def _certain(text: str) -> int:
    """Where what may become a tag begins."""
    found = _BEGINNING.search(text)
    at = found.start() if found else len(text)
    steps = next((n for n in range(len(_STEPS), 0, -1) if text.endswith(_STEPS[:n])), 0)
    return min(at, len(text) - steps)


class Watching:
    """Follows whether a text that grows stands within a thought.

    Args:
        opened: as `part`.
        only: as `part`.
    """

    def __init__(self, *, opened: bool = False, only: bool = False) -> None:
        self._depth, self._fresh, self._only = int(opened), opened, only
        self._waiting = ""
        self.behind = ""
        """What stood behind the last tag, in the piece that ended it."""

    @property
    def inside(self) -> bool:
        """Whether it does."""
        return self._depth > 0

    def add(self, text: str) -> None:
        """Take the next piece."""
        if self._only and not self._depth:
            return
        self._waiting += text
        while tag := _TAG.search(self._waiting):
            self._turn(tag)
            self._waiting = self.behind = self._waiting[tag.end() :]
            if self._only and not self._depth:
                return
        at = _certain(self._waiting)
        self._fresh &= not self._waiting[:at].strip()
        self._waiting = self._waiting[at:]

    def ends_within(self, text: str) -> int:
        """How much of the next piece there is up to where the thought ends, if text follows there
        at once; 0: none does."""
        whole = self._waiting + text
        found = _TAG.search(whole)
        ends = found is not None and found.lastgroup in ("closes", "turns") and self._depth == 1
        if found is None or not ends or not whole[found.end() :].strip():
            return 0
        return found.end() - len(self._waiting)

    def _turn(self, tag: re.Match[str]) -> None:
        does, piece = tag.lastgroup or "", self._waiting[: tag.start()]
        if does in ("closes", "turns"):
            self._depth = max(0, self._depth - 1)
        elif does == "opens" and not (self._fresh and not piece.strip()):
            self._depth = _deeper(self._depth, tag.group())
        self._fresh = does == "opens"


class _Growing:
    """A text of which no more is told than is certain."""

    def __init__(self) -> None:
        self._given = ""

    def fresh(self, certain: str) -> str:
        """What is new of what is certain by now."""
        told = self._told(certain)
        new = certain[len(told) :] if certain.strip() else ""
        self._given += new
        return new

    def rest(self, whole: str) -> str:
        told = self._told(whole)
        return whole[len(told) :] if whole.startswith(told) else ""

    def _told(self, whole: str) -> str:
        """Spaces before a thought that was found later are no part of the answer."""
        return self._given if whole.startswith(self._given) else self._given.lstrip()
