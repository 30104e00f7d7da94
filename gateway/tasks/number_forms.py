"""How numbers are written, and the words around one that say what it is."""

import html
import re

VULGAR = {"½": 1 / 2, "¼": 1 / 4, "¾": 3 / 4, "⅓": 1 / 3, "⅔": 2 / 3, "⅛": 1 / 8}
FRACTIONS = {"1/2": 1 / 2, "1/4": 1 / 4, "3/4": 3 / 4, "1/3": 1 / 3, "2/3": 2 / 3}
"""Others are as well a share ("8/10") or a date."""
_V = "".join(VULGAR)
_OWN = r"(?:story[ \t-]*)?(?:points?|pts?|sp)"
_DASH = "-‐‑‒–—−~～〜"
_WORDS = (
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|twenty"
    r"|half|quarter|third)"
)
_S = r"[ \t]*"


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# Written forms.

CLUMP = re.compile(
    rf"(?<![\w.,/+#@\\^√-])(?<!\w\()[-−–+]?\.?[0-9{_V}]"
    rf"(?:[\w{_V}]|[{_DASH}.,/:+*=^'’…±、，。・·•٫\\]{{1,3}}(?=\.?[0-9{_V}])|[-/](?=[A-Za-z]))*"
    r"[%‰]?"
)
"""Digits and what is joined to them."""
PLAIN = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,12})?|\.[0-9]{1,12})")
COMMA = re.compile(r"([0-9]{1,12}),([0-9]{1,12})")
GROUPED = re.compile(r"[0-9]{1,3}(?:(?:,[0-9]{3}){1,3}\.[0-9]{1,12}|(?:,[0-9]{3}){2,3})")
GROUPED_BY_DOTS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3}){1,3},[0-9]{1,12}")
MIXED = re.compile(rf"([0-9]{{0,4}})([{_V}])")
WITH_UNIT = re.compile(rf"(?P<number>[0-9.,/{_V}]+)-?(?P<unit>[%‰]|[^\W\d_].*)", re.DOTALL)
RANGE = re.compile(rf"[0-9.,/{_V}]+?(?:[{_DASH}]|\.\.+|…)[0-9.,/{_V}]+")
NAME = re.compile(
    r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}.*|[0-9]+(?:\.[0-9]+){2,}|[0-9]+(?::[0-9]+)+.*",
    re.DOTALL,
)
ORDINAL = re.compile("st|nd|rd|th")

_MONTHS = (
    r"jan(?:uary)?\.?|feb(?:ruary)?\.?|mar(?:ch)?\.?|apr(?:il)?\.?|may|june?|july?|aug(?:ust)?\.?"
    r"|sept?(?:ember)?\.?|oct(?:ober)?\.?|nov(?:ember)?\.?|dec(?:ember)?\.?"
)
OF_A_MONTH = re.compile(
    r"[ \t]+(?:of[ \t]+)?(?:January|February|March|April|May|June|July|August|September|October"
    r"|November|December)\b"
)
"""Behind the day of a date; in lower case "may" is another word."""

# Between two numbers.

_ARROW = r"→|[-=]+>"
TO = _words(
    rf"{_S}(?:[{_DASH}]+|{_ARROW}|(?:\w+[ \t]+)?(?:to|or|until|through|vs\.?|versus"
    r"|à|a|bis|hasta|al|til|tot|до|oder|ou|o|или|lub|eller|veya)"
    rf"(?:[ \t]+(?:even|maybe|perhaps|rather))?){_S}"
)
AND = _words(rf"{_S}(?:\w+[ \t]+)?(?:and|und|et|y|e|en|och|и){_S}")
LIST = _words(
    rf"{_S}(?:{_OWN}{_S}|\w+{_S}(?=\+))?"
    rf"(?:[,;&|*×x=/^≠±、，•·]|\+(?:{_S}/?{_S}[-−–])?|!=|[<>≤≥]=?(?:{_S}\w+{_S}[<>≤≥]=?)?"
    rf"|(?:and|plus|minus|times|point|comma|dot|(?:divided|multiplied) by)\b){_S}"
)
OF = _words(rf"{_S}(?:out[ \t]+)?of{_S}")
_EACH_OF = r"[ \t]+(?:[\w-]+[ \t]+){0,2}[\w-]+s[ \t]+(?:of|at|worth|with)(?:[ \t]+about)?[ \t]+"
EACH_OF = _words(_EACH_OF)
"""What stands between how many there are and how much each is: "3 parts of 5 points"."""
BETWEEN = _words(rf"\b(?:between|zwischen|entre|tra|fra|tussen|mellan|между){_S}$")
WORD_BEFORE = _words(rf"\b{_WORDS}{_S}(?:[{_DASH}/,]|to|or|of|and|out of)(?:[ \t]+an?)?{_S}$")
WORD_BEHIND = _words(
    rf"{_S}(?:[{_DASH}]|to|or|(?:{_OWN}[ \t]+)?or(?:[ \t]+an?)?|and[ \t]+an?){_S}{_WORDS}\b"
)
"""A number in words that belongs to one in digits: "two to 3", "5 and a half"."""
WORD_OF_EACH = _words(rf"\b(?!one\b){_WORDS}{_EACH_OF}$")

# Before and behind one number.

BOUND_BEFORE = _words(
    r"(?:\b(?:at least|at most|up to|(?:more|less|fewer|greater|higher|lower|bigger) than"
    r"|over|under|above|below|beyond|exceeds?|min(?:imum|\.)?(?: of)?|max(?:imum|\.)?(?: of)?)"
    rf"|(?<![-=<>])[<>≤≥]=?){_S}$"
)
BOUND_BEHIND = _words(
    rf"\+(?!\w)|[-–—]$|{_S}(?:{_OWN}{_S})?(?:,{_S})?(?:(?:or|and){_S}"
    r"(?:more|less|fewer|up|above|below|higher|lower|greater|over|under)"
    r"|at (?:most|least|minimum|maximum|best|worst)|min|max|minimum|maximum|plus|upwards?)\b"
)
DENIED = _words(
    r"(?:\b(?:not|never|cannot be|minus|negative|instead of|rather than)|n['’]t(?: be)?)"
    rf"(?:[ \t]+(?:an?|the))?{_S}$"
    r"|(?:\b(?:not|never|cannot|unable to|too \w+ for)|n['’]t)\b"
    r"(?:(?!\b(?:so|but|and|because|since|therefore|hence|only|just)\b)[^.,;:\n])*$"
)
DENIED_BEHIND = _words(
    r"[ \t]+(?:(?:is|are|was|would|does|can)[ \t]*not|(?:is|are|was|would|does|ca)n['’]t"
    r"|(?:is|are|was|seems|feels|looks|would be|may be|might be)[ \t]+(?:\w+[ \t]+)?"
    r"(?:too|wrong|unlikely|incorrect))\b"
)
NAMED = _words(
    r"\b(?:step|option|part|phase|version|sprint|issue|ticket|task|item|page|line|section|chapter"
    r"|figure|question|example|stage|day|week|case|level|priority|bug|story|no\.|nr\.|error|code"
    r"|status|pr|http|port|confidence|probability|uncertainty|risk|severity|urgency|impact|certainty"
    rf"|{_MONTHS})[ \t:]+$"
)
"""What has a number as its name, or one of its own."""
MONEY = _words(rf"(?:[$€£¥]|\b(?:usd|eur|gbp|chf|jpy|rs\.?)){_S}$")
OWN_UNIT = _words(rf"[ \t-]*{_OWN}\b")
SHARED = _words(rf"{_S}(?:{_OWN}{_S})?(?:each|per|apiece|for each|for every)\b")
"""Of each of several, which then are more together."""
OTHER_UNIT = re.compile(
    r"[ \t-]*(?:(?:working|business|calendar|full|whole|half|more|other|different|additional|extra"
    r"|new|small|separate|main|person|man|engineering|developer)[ \t-]+)?"
    r"(%|‰|€|[$]|×|x\b|[dhkmw]\b(?!['’.])|per cent\b|(?:percent|second|sec|minute|min|hour|hr|day"
    r"|week|wk|month|year|sprint|people|person|developer|engineer|tester|time|line|file|dollar|euro"
    r"|step|part|thing)s?\b|(?:Minute|Stunde|Tag|Woche|Monat|Jahr)e?n?\b|o['’]clock\b|[ap]\.m\."
    r"|\w*[a-z]{2}s\b)"
)
"""Known units, and any word in the plural, which is what is counted."""
NO_PLURAL = re.compile(
    r"(?:is|was|has|does|this|thus|its|as|us|plus|minus|less|unless|because|perhaps|always|besides"
    r"|seems|looks|sounds|feels|means|makes|takes|needs|requires|reflects|represents|indicates|fits"
    r"|suggests|suits|gives|works|appears|includes|allows|covers|assumes|shows|says|comes|goes)"
)

# Whether a number is the answer.

_FILLER = (
    r"(?:(?:about|around|approximately|approx\.?|roughly|circa|ca\.|just|only|exactly|a|an)\s+)*"
)
_MARKS = "[\\s*_`\"'“”‘’.,:;!()\\[\\]{}~≈|>→=-]*"
SUBJECT = _words(rf"{_S}(?:[:=]|(?:is|are|was|means?)\b)")
FREE = _words(
    rf"{_S}(?:$|[^\w\s]|\n|{_OWN}\b|(?:because|since|as|for|due|given|is|was|would|should|could"
    r"|may|might|seems|in|on|at|with|from|by|based|considering|assuming|which|that|so|if|when"
    r"|though|although|and|or|but|to|overall|total|out|here|rather|instead|too|then|the|it|i"
    r"|not|this|these|there|we|you|will|can|has|had|means|reflects|seems|maybe|probably|vs)\b)"
)
"""What may stand behind a number that counts nothing."""
LEADS = _words(
    r"(?:^|[^\w\s][ \t*_`]*|\n[ \t]*|\b(?:is|be|are|was|of|say|give|a|an|the|at|about|around"
    r"|roughly|approximately|approx|circa|exactly|just|only|maybe|perhaps|probably|likely|estimate[sd]?"
    r"|assign|choose|pick|with|for|as|to|points?|score|rate|rating|select|suggest|recommend|needs?"
    r"|takes?|requires?|costs?|worth|it|got|get|answer|value|number|effort|size|complexity|total|than"
    r"|so|then|therefore|hence|equals?|gets?|deserves?|becomes?|remains?|and|or|but|that|by|into|from"
    r"|between|also|still|actually|rather|guess|think|believe|solid"
    r"|firm|strong|even|nearly|almost|did|do|does|in|have|has|had|see|because"
    r"|not)[ \t]+)$"
)
"""What may stand before a number that is no name: behind another word it is ("Python 3")."""
BEGINNING = _words(rf"{_MARKS}{_FILLER}[\s\"'“(\[~≈]*")
STATED = _words(
    r"(?:\b|_)(?:answer|label|category|class|intent|type|estimate[ds]?|estimation|effort|points?|number"
    r"|score|rating)[\"'”’]?\s*(?:\)\s*)?(?:is|was|are|be|at|:|=)"
    rf"{_MARKS}{_FILLER}[\s\"'“(\[~≈]*$"
)
FORMERLY = _words(
    r"\b(?:(?:was|were|been|is|previously|originally|initially|first)[ \t]+)+"
    r"(?:estimated|rated|scored)[ \t\w]*$"
)
"""Before an estimate that somebody else made."""
A_LINE_STATES = _words(
    r"(?:^|\n)[\s*_#>-]*(?:(?:final|story)[ \t_-]?)?(?:answer|estimate|points?)[ \t*_]*[:=]"
    rf"{_S}[*_]*$"
)
"""Before a number that a line is about."""
NUMBERING = re.compile(r"[.)](?:[ \t]+(?=\S)|[ \t]*\n)")
CORRECTED = _words(
    r"\b(?:correct(?:ed|ion)|revised|edit(?:ed)?|actually|rather|instead|make (?:it|that)|i mean"
    r"|no|wait)\b[\s,:]*$"
)
ALTERNATIVE = _words(
    r"(?:\b(?:or|and|to|but|maybe|perhaps|possibly|probably|really|otherwise|else|then|vs\.?|versus"
    r"|(?:could|might|may|can|should) (?:also )?be)\b"
    r"[ \t,]*(?:an?[ \t]+)?"
    r"|[({\[|/;→>…?.]|^)[\s*_~≈]*$"
)
"""Before a number that another one in its line has as an alternative."""
CONDITION = _words(rf"{_S}(?:{_OWN}{_S})?(?:if|when|otherwise|in case|unless|at worst|at best)\b")
ITEM = re.compile(r"[.)][ \t]+\S")
EXPLAINED = re.compile(
    r"[.)][ \t]+(?:[^\w\s]|[0-9]|(?:it|this|the|that|these|because|since|as|i|we|you|there|given"
    r"|based|an?|my|our|reason\w*|explanation|justification|rationale|note|although|while|if|in|for|with|your"
    r"|its?|although|however|not|only|just|no|some|several|most|all|both|each)\b)",
    re.IGNORECASE,
)
"""Behind an answer that a sentence explains; behind the number of an item a verb or a noun stands:
"2. Read the issue"."""
AT_A_SENTENCE = re.compile(r"(?:^|[\n.!?:;])[ \t(>#-]*$")
MAY_GO_ON = re.compile(rf"{_S}(?:[-.,/:–—+]|t|to|o|or)?{_S}")

_EMPHASIS = re.compile(r"[*`\u00a0\u2009\u202f\u200b]|(?<![^\W_])_|_(?![^\W_])")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,60}>")
STRUCK = re.compile(r"~~[^~\n]*~~|<(s|del|strike)>[^<\n]*</\1>", re.IGNORECASE)
_SCALE = _words(
    rf"\b(?:scale|range)[ \t]+(?:of|from)[ \t]+[0-9]{{1,3}}{_S}(?:[{_DASH}]|to){_S}[0-9]{{1,3}}"
)


def plain(text: str) -> str:
    """A text without Markdown's and HTML's marks, what they strike out, and the scale it names."""
    text = _TAG.sub(" ", STRUCK.sub(" ", html.unescape(text)))
    return _SCALE.sub("scale", _EMPHASIS.sub(" ", text))
