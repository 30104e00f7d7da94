"""Where a model's thought ends and its answer begins, for models that write tags around it.

A thought is no answer: labels and numbers in it are weighed and dropped again. Every backend parts
it from the answer here, so that who reads answers never meets one.
"""

import re
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
    r"|<\|channel\|>(?:analysis|commentary)[^<\n]*<\|message\|>"
    rf"|{re.escape(_STEPS)}",
    re.IGNORECASE,
)
CLOSES = re.compile(
    rf"</(?:{_NAMES})\s?>|<\|/(?:{_NAMES})\|>|\[/think\]|◁/think▷|<\|end_of_thought\|>"
    r"|<\|end_thinking\|>|<channel\|>|<\|close\|>think<\|sep\|>(?:<\|open\|>response<\|sep\|>)?"
    r"|(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>"
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
_LONGEST = 120
"""Characters of the longest tag and the spaces behind it."""
_TAG = re.compile(f"{OPENS.pattern}|{CLOSES.pattern}", re.IGNORECASE)


def part(text: str, *, opened: bool = False) -> Reasoning | None:
    """The thought and the answer in what was written; None where there is no thought.

    A thought within a thought ends with its own tag. What stands before a closing tag is thought,
    also where no tag opened it: the prompt did, or a token that has no text.

    Args:
        opened: the prompt ended within a thought, as some chat templates begin every answer.
    """
    if not opened and not _TAG.search(text):
        return None
    thought: list[str] = []
    answer: list[str] = []
    depth, fresh = int(opened), opened
    for piece, tag in _pieces(text):
        closes = CLOSES.fullmatch(tag) is not None
        (thought if depth or closes else answer).append(piece)
        if closes:
            depth = max(0, depth - 1)
        elif tag and not (fresh and not piece.strip()):
            depth += 1
        # A tag right behind one that opens is the same once more: the prompt's and the model's.
        fresh = bool(tag) and not closes
    whole = "\n".join(filter(None, map(str.strip, thought)))
    return Reasoning(whole, None if depth else "".join(answer).lstrip())


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
    begun = part(answer_start, opened=opened)
    return begun is not None and begun.answer is None


def begins(text: str) -> bool:
    """Whether a text begins with a thought."""
    return OPENS.match(text.lstrip()) is not None


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


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """The text between the tags, each piece with the tag that ends it; the last with none."""
    start = 0
    for found in _TAG.finditer(text):
        yield text[start : found.start()], found.group()
        start = found.end()
    yield text[start:], ""
