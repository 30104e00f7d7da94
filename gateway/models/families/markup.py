"""Control tokens that an answer is parted at: around thoughts, channels and calls."""

import re

MARKUP = re.compile(r"<[|｜]?/?[^<>\s]{1,40}?[|｜]?>|\[/?[A-Z_]+\]|◁[^▷\s]{1,20}▷")
_PARTS = re.compile(
    r"think|thought|reason|channel|constrain|tool|function|call|python_tag|args|arg_|invoke|param"
    r"|escape|action|response|_text\||final"
    r'|^<\|"\|>$'
    r"|^<\|(?:start|end|begin|message|content|open|close|sep|recipient)\|>$",
    re.IGNORECASE,
)


def markup_in(template: str) -> list[str]:
    """Texts in a chat template that are written like control tokens, and part an answer."""
    found = dict.fromkeys(MARKUP.findall(template))
    return [text for text in found if _PARTS.search(text)]
