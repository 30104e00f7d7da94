"""Labels that a text mentions and does not rule out."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

_DENIED = re.compile(
    r"(?:\b(?:not|no|neither|nor|never|cannot be|rather than|instead of|without|anything but)"
    r"|n['’]t(?: be)?)(?:\s+(?:an?|the|really|necessarily|longer))*"
    r"\s+(?:\S+\s+n?or\s+(?:an?\s+)?)?[\"'“‘*_`]*$"
    r"|(?:[!¬❌✗✘]|\[ \]|\b(?:not|exclude[sd]?|no)\s*:)\s*[\"'“‘*_`]*$",
    re.IGNORECASE,
)
"""Right before a label that is named only to be ruled out."""
_DOUBTED = re.compile(
    r"\b(?:not|never|neither|nor|hardly|scarcely|unlikely|impossible|doubt|cannot|wrong|incorrect"
    r"|wonder|whether|if|were|refuse|far from|nothing|less|rules? out|exclud\w+|so-called"
    r"|(?:user|reporter|author|they|he|she) (?:thinks?|says?|said|claims?|calls?))\b|n['’]t\b",
    re.IGNORECASE,
)
"""Somewhere before it, in the same clause."""
_CLAUSE = re.compile(
    r"[.,;:!?\n]|\b(?:but|so|because|since|therefore|hence|although|though|thus)\b", re.IGNORECASE
)
_DENIED_BEHIND = re.compile(
    r"[\"'”’*_`]*(?:(?:\s+(?:label|category|class|type))?\s+(?:is|was|would be|can be|seems)\s+"
    r"(?:wrong|incorrect|unlikely|ruled out|excluded|out\b"
    r"|not\s+(?:correct|right|applicable|appropriate|it|the)\b)"
    r"|(?:\s+(?:label|category|class|type))?\s+(?:does|is)(?:n['’]t|\s+not)\s+"
    r"(?:fit|apply|match|right|correct)\b"
    r"|\s+(?:only\s+)?(?:if|unless)\b|\s+or\s+not\b"
    r"|\s*[:?=(–-]*\s*(?:no|false|wrong|✗|✘|❌|0(?:\.0*)?)(?=\W*(?:$|[\n,;.})])))",
    re.IGNORECASE,
)
_LOOKED_BACK = 200
"""Characters of a clause, at most."""
_SENTENCE_END = re.compile(r"[.!?\n]")
_HEDGED = re.compile(r"\b(?:could|might|may|maybe|perhaps|possibly|either|whether)\b", re.I)
_ENDS_A_PHRASE = re.compile(r"[\"'”’*_`)\]]*\s*(?:$|[.,;:!?/\n]|(?:and|or|but)\b)", re.I)
_COMMON = re.compile(
    r"a|all|an|and|any|as|at|be|by|he|i|in|is|it|me|my|no|none|not|of|on|one|or|other|so|some|the|to"
    r"|up|us|we|yes",
    re.IGNORECASE,
)
"""Words of any sentence: as labels they are read where a phrase ends with them."""


def mentions(text: str, labels: Sequence[str]) -> set[str]:
    """Labels that stand in a text as whole words, are nowhere ruled out and not only asked after.

    One within a longer label, a compound such as "bug-related", or a number with decimals does not
    count.
    """
    found = set()
    for label in sorted(labels, key=len, reverse=True):
        pattern = _word(label, labels)
        if any(_places(text, label, pattern)):
            found.add(label)
        text = pattern.sub("\0", text)
    return found


def is_hedged(text: str, label: str) -> bool:
    """Whether a label is mentioned as what may be, in every place."""
    matches = [match.start() for match in _word(label, [label]).finditer(text)]
    return all(_HEDGED.search(_clause(text, place)) for place in matches)


def _word(label: str, labels: Sequence[str]) -> re.Pattern[str]:
    alone = Counter(each.casefold() for each in labels)[label.casefold()] == 1
    return re.compile(
        rf"(?<![\w-])(?<!\d[.,:/]){re.escape(label)}(?![\w%]|-\w|['’]\w|[.,:/]\d|\s%)",
        re.IGNORECASE if alone else re.NOFLAG,
    )


def _places(text: str, label: str, pattern: re.Pattern[str]) -> Iterator[bool]:
    """Where a label is mentioned as what is; nowhere if it is ruled out in one place."""
    matches = list(pattern.finditer(text))
    if any(_DENIED.search(_before(text, m.start())) for m in matches):
        return
    if any(_DENIED_BEHIND.match(text, m.end()) for m in matches):
        return
    for match in matches:
        doubted = _DOUBTED.search(_clause(text, match.start()))
        whole = not _COMMON.fullmatch(label) or _ENDS_A_PHRASE.match(text, match.end())
        if whole and not doubted and not _is_asked(text, match.end()):
            yield True


def _clause(text: str, end: int) -> str:
    """What stands before a place in its clause."""
    return _CLAUSE.split(_before(text, end))[-1]


def _before(text: str, place: int) -> str:
    """What stands right before a place; a loop of a model is long."""
    return text[max(0, place - _LOOKED_BACK) : place]


def _is_asked(text: str, at: int) -> bool:
    """Whether the sentence around a place is a question."""
    end = _SENTENCE_END.search(text, at, at + _LOOKED_BACK)
    return end is not None and end[0] == "?"
