"""Labels that a text mentions and does not rule out."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

_DENIED = re.compile(
    r"(?:\b(?:not|no|non|neither|nor|never|cannot be|rather than|instead of|without|anything but"
    r"|(?:all|everything) but|except(?: for)?|(?:other|apart|aside|different) (?:than|from)"
    r"|(?:higher|lower|greater|more|less|worse|better|bigger|smaller) than|above|below|beyond)"
    r"|n['’]t(?: be)?)(?:\s+(?:an?|the|really|necessarily|longer|any|such))*"
    r"\s+(?:\S+\s+n?or\s+(?:an?\s+)?)?[\"'“‘*_`]*$"
    r"|(?:(?<!\w)!|[¬❌✗✘☐□⬜]|\[ \]|\b(?:not|exclude[sd]?|no)\s*:)\s*[\"'“‘*_`]*$",
    re.IGNORECASE,
)
"""Right before a label that is named only to be ruled out."""
_DOUBTED = re.compile(
    r"\b(?:not|never|neither|nor|hardly|scarcely|unlikely|impossible|doubt|cannot|wrong|incorrect"
    r"|wonder|whether|if|were|refuse|far from|nothing|less|rules? out|exclud\w+|so[- ]called|lacks?"
    r"|absence|stretch|no (?:evidence|signs?|indications?|proof|trace|hint|reason)"
    r"|(?:users?|reporters?|authors?|customers?|people|some|many|others|they|he|she)"
    r"(?: (?:may|might|could|would|will|can))? (?:thinks?|says?|said|claims?|calls?|believes?))\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
"""Somewhere before it, in the same clause."""
_DOUBTED_ELSEWHERE = re.compile(
    r"\b(?:nicht|kein(?:e[mnrs]?)?|nie|niemals|weder|ohne|pas|jamais|sans|aucune?|ne|ni|non|sin"
    r"|tampoco|não|nunca|sem|geen|niet|nooit|ikke|aldrig|inte|ingen|ei|nem|nu|není|nije|bukan|tidak"
    r"|không|не|нет|ни|без|δεν|no\s+(?:es|era|son|parece|hay|se|una?|é))\b"
    r"|\bn['’](?:est|était|a|y)\b|[不没沒非無]|아니|नहीं|ไม่",
    re.IGNORECASE,
)
"""The same in other languages."""
_DOUBTED_IN_A_SENTENCE = re.compile(
    r"\b(?:nicht|pas|não|non|no|не|nie|niet|ikke|inte)\b[^.!?;\n]*,\s*"
    r"(?:dass|que|qu['’]|что|że|dat|att|at|che)\b[^,.;:!?\n]*$",
    re.IGNORECASE,
)
"""Where a comma parts the clause that says it from the one that it is said of."""
_CLAUSE = re.compile(
    r"[.,;:!?\n，。；：！？、]"
    r"|\b(?:but|so(?! called)|because|since|therefore|hence|although|though|thus)\b",
    re.IGNORECASE,
)
_DENIED_BEHIND = re.compile(
    r"[\"'”’*_`]*(?:(?:\s+(?:label|category|class|type))?\s+(?:is|was|would be|can be|seems)\s+"
    r"(?:wrong|incorrect|unlikely|ruled out|excluded|out\b"
    r"|not\s+(?:correct|right|applicable|appropriate|it|the)\b)"
    r"|(?:\s+(?:label|category|class|type))?\s+(?:does|is)(?:n['’]t|\s+not)\s+"
    r"(?:fit|apply|match|right|correct)\b"
    r"|\s+(?:excluded|ruled out|rejected)\b"
    r"|\s+(?:only\s+)?(?:if|unless)\b|\s+or\s+not\b"
    r"|\s*(?:değil|では|じゃ|[이가]?\s*아니|नहीं|ist\s+(?:das|es|dies)\s+nicht\b)"
    r"|\s*[:?=(,–—-]*\s*(?:(?:absolutely|definitely|certainly)\s+)?"
    r"(?P<no>nope|no|not|false|wrong|✗|✘|❌|0(?:\.0*)?)(?=[^\w\0]*(?:$|[\n,;.})])))",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    r"(?:^|[.!?;\n…–—-])[,\s]{0,20}(?:(?:oh|no|but|hmm+)\b[,\s]{0,20})?(?:wait|actually"
    r"|correction|scratch that|sorry|on second thoughts?|let me re\w+|i mean)\b",
    re.IGNORECASE,
)
"""Where a sentence takes back what stands before it."""
_IDIOMS = re.compile(
    r"\b(?:(?:good|great|excellent|interesting|your|no|without|beyond|out of the|in) question"
    r"|question marks?"
    r"|the question(?= is (?:whether|if|how|what|why|not)\b)"
    r"|(?:false|true)[ -](?:positive|negative)s?|i(?:['’]m| am) (?:\w+ )?positive"
    r"|in other words|on the other hand|no\. of)\b",
    re.IGNORECASE,
)
"""Phrases of any sentence that hold a word which is a label somewhere."""
_DEFINITE = re.compile(
    r"\b(?:the|this|that|these|those|its|their|his|her|your|our|my|such)\s+(?:[\w-]+\s+)?[\"'“‘*_`]*$",
    re.IGNORECASE,
)
_SAID_OF = re.compile(
    r"\s+(?:(?:is|are|was|were|has|had|does|do|did|should|must|can|could|will|would)(?:n['’]t)?|cannot"
    r"|work\w*|crash\w*|fail\w*|need\w*|broke\w*|stop\w*)\b(?!\s+(?:right|correct|best|appropriate))",
    re.IGNORECASE,
)
_LOOKED_BACK = 200
"""Characters of a clause, at most."""
_SENTENCE_END = re.compile(r"[.!?\n。！？]")
_HEDGED = re.compile(
    r"\b(?:could|might|may|maybe|perhaps|possibly|either|whether|consider|suppose|assume|first)\b",
    re.IGNORECASE,
)
_TURNS = re.compile(
    r"\b(?:but|however|although|though|yet|still|on the other hand)\b", re.IGNORECASE
)
_ENDS_A_PHRASE = re.compile(
    r"[\"'”’*_`)\]}]*\s*(?:$|[.,;:!?/\n}–—(]|-{1,2}\s"
    r"|(?:and|or|but|in (?:some|most|many|this|that|general))\b)",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\)?\s+(?:(?:is|was|would|seems|fits|applies|because|since|as)\b|[A-Z]\b)")
_COMMON = re.compile(
    r"[a-z]|all|an|and|any|as|at|be|by|can|he|in|is|it|may|me|my|no|none|not|of|on|one|or|other|so"
    r"|some|the|to|up|us|we|will|yes",
    re.IGNORECASE,
)
"""Words of any sentence: as labels they are read where a phrase ends with them, and in capitals
where the label has some."""


def mentions(text: str, labels: Sequence[str]) -> set[str]:
    """Labels that stand in a text as whole words, are nowhere ruled out and not only asked after.

    One within a longer label, a compound such as "bug-related", or a number with decimals does not
    count.
    """
    text = _IDIOMS.sub(lambda m: m[0] if _in_a_label(m[0], labels) else "\0", text)
    turn = _CORRECTED.search(text)
    found, again = set(), set()
    for label in sorted(labels, key=len, reverse=True):
        pattern = _word(label, labels)
        if any(_places(text, label, pattern, labels)):
            found.add(label)
        if turn and pattern.search(text, turn.end()):
            again.add(label)
        text = pattern.sub(lambda m: "\0" * len(m[0]), text)
    return found | again if found else found


def is_hedged(text: str, label: str) -> bool:
    """Whether a label is mentioned as what may be, in every place, or the text turns behind it."""
    matches = list(_word(label, [label]).finditer(text))
    hedged = all(_HEDGED.search(_clause(text, match.start())) for match in matches)
    return hedged or _TURNS.search(text, matches[-1].end()) is not None


def are_things(text: str, start: int, labels: Sequence[str]) -> bool:
    """Whether labels are mentioned behind a place only as things: "the feature", "this bug"."""
    found = [match for label in labels for match in _word(label, labels).finditer(text, start)]
    return all(_DEFINITE.search(_before(text, match.start())) for match in found)


def _is_a_thing(text: str, label: re.Match[str]) -> bool:
    """Whether something is said of it as of a thing: "the search feature is broken"."""
    said = _SAID_OF.match(text, label.end())
    return said is not None and _DEFINITE.search(_before(text, label.start())) is not None


def _in_a_label(phrase: str, labels: Sequence[str]) -> bool:
    return any(phrase.casefold() in label.casefold() for label in labels)


def _word(label: str, labels: Sequence[str]) -> re.Pattern[str]:
    alone = Counter(each.casefold() for each in labels)[label.casefold()] == 1
    alone = alone and (label.islower() or not _COMMON.fullmatch(label))
    decimals = r"(?<!\d[.,:/])" if label[:1].isdigit() else ""
    return re.compile(
        rf"(?<![\w-]){decimals}{re.escape(label)}(?![\w%]|-\w|['’]\w|[.,:/]\d|\s%)",
        re.IGNORECASE if alone else re.NOFLAG,
    )


def _places(
    text: str, label: str, pattern: re.Pattern[str], labels: Sequence[str]
) -> Iterator[bool]:
    """Where a label is mentioned as what is; nowhere if it is ruled out in one place."""
    matches = list(pattern.finditer(text))
    if any(_is_denied(text, match, labels) for match in matches):
        return
    for match in matches:
        doubted = _is_doubted(text, match)
        whole = not _COMMON.fullmatch(label) or _ends(text, match.end(), label)
        if whole and not doubted and not _is_asked(text, match.end()):
            yield True


def _is_doubted(text: str, label: re.Match[str]) -> bool:
    """Whether what stands before a label doubts it, or something is said of it as of a thing."""
    clause = _clause(text, label.start())
    return (
        _DOUBTED.search(clause) is not None
        or _DOUBTED_ELSEWHERE.search(clause) is not None
        or _DOUBTED_IN_A_SENTENCE.search(_before(text, label.start())) is not None
        or _is_a_thing(text, label)
    )


def _is_denied(text: str, label: re.Match[str], labels: Sequence[str]) -> bool:
    """Whether what stands around a label rules it out; a "no" that is a label itself does not."""
    before = _DENIED.search(_before(text, label.start()))
    behind = _DENIED_BEHIND.match(text, label.end())
    denials = [before[0].rstrip(" :") if before else "", (behind["no"] or "-") if behind else ""]
    known = {each.casefold() for each in labels}
    return any(denial and denial.strip().casefold() not in known for denial in denials)


def _ends(text: str, at: int, label: str) -> bool:
    """Whether a phrase ends with what is a word of any sentence too."""
    named = len(label) == 1 and _GOES_ON.match(text, at)
    return bool(named or _ENDS_A_PHRASE.match(text, at))


def _clause(text: str, end: int) -> str:
    """What stands before a place in its clause."""
    return _CLAUSE.split(_before(text, end))[-1]


def _before(text: str, place: int) -> str:
    """What stands right before a place; a loop of a model is long."""
    return text[max(0, place - _LOOKED_BACK) : place]


def _is_asked(text: str, at: int) -> bool:
    """Whether the sentence around a place is a question."""
    end = _SENTENCE_END.search(text, at, at + _LOOKED_BACK)
    return end is not None and end[0] in "?？"
