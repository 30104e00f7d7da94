"""Where a model's thought ends and its answer begins, for models that write `<think>` tags.

A thought is no answer: labels and numbers in it are weighed and dropped again. Every backend parts
it from the answer here, so that who reads answers never meets one.
"""

import re
from collections.abc import Iterator, Sequence

from gateway.core.types import Message, Reasoning

OPENING, CLOSING = "<think>", "</think>"
_TAG = re.compile("</?think>")


def part(text: str, *, opened: bool = False) -> Reasoning | None:
    """The thought and the answer in what was written; None where there is no thought.

    Args:
        opened: the prompt ended within a thought, as some chat templates begin every answer.
    """
    if not opened and not _TAG.search(text):
        return None
    thought: list[str] = []
    answer: list[str] = []
    thinking = opened
    for piece, tag in _pieces(text):
        # A closing tag alone: the prompt opened the thought, or a token that has no text.
        inside = thinking or (tag == CLOSING and not thought)
        (thought if inside else answer).append(piece)
        thinking = tag == OPENING if tag else thinking
    whole = "\n".join(filter(None, map(str.strip, thought)))
    return Reasoning(whole, None if thinking else "".join(answer).lstrip())


def opens(prompt: str, messages: Sequence[Message]) -> bool:
    """Whether a rendered prompt ends within a thought that its chat template began.

    A message that ends with the tag begins none.
    """
    said = messages[-1].content.rstrip().endswith(OPENING)
    return prompt.rstrip().endswith(OPENING) and not said


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """The text between the tags, each piece with the tag that ends it; the last with none."""
    start = 0
    for found in _TAG.finditer(text):
        yield text[start : found.start()], found.group()
        start = found.end()
    yield text[start:], ""
