"""Numbers and texts as a reader sees them, the same in every form of the report."""

import re
import unicodedata

from gateway.core.lists import plural as plural
from gateway.scoring.metrics import LOWER_IS_BETTER
from gateway.scoring.results import Metric

ABSENT = "–"
"""Stands for a value that was not or could not be computed; never confused with a zero."""

_NO_ROUNDING = 1e-9
"""Less than this is zero, but for rounding."""

# Controls drive a terminal; bidirectional overrides make a text read as another one.
_SPACES = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")


def clean(text: str) -> str:
    """Untrusted text on one line: no control characters, lone surrogates as U+FFFD."""
    return _SURROGATES.sub("\ufffd", _HIDDEN.sub("", _SPACES.sub(" ", text)))


def shorten(text: str, width: int) -> str:
    """At most `width` characters; what is cut out of the middle becomes an ellipsis.

    The end of a cell's name tells it from its neighbours as much as the beginning does.
    """
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return text[: width - 1 - tail] + "…" + text[len(text) - tail :]


def direction(name: str) -> str:
    """Which way the metric is better, in words."""
    return "lower is better" if name in LOWER_IS_BETTER else "higher is better"


def number(value: float | None, digits: int = 3) -> str:
    """Fixed decimals, "–" for None, and no minus before a zero."""
    return ABSENT if value is None else f"{_rounded(value, digits):.{digits}f}"


def signed(value: float | None) -> str:
    """Three decimals with a sign, which a zero has not."""
    if value is None:
        return ABSENT
    rounded = _rounded(value, 3)
    return f"{rounded:+.3f}" if rounded else "0.000"


def interval(metric: Metric | None) -> str:
    """`[0.41, 0.56]`, or nothing where no interval was computed."""
    if metric is None or metric.low is None or metric.high is None:
        return ""
    return f"[{number(metric.low, 2)}, {number(metric.high, 2)}]"


def signed_interval(metric: Metric) -> str:
    """`[-0.012, +0.110]`, or nothing where no interval was computed."""
    if metric.low is None or metric.high is None:
        return ""
    return f"[{_end(metric.low)}, {_end(metric.high)}]"


def _end(value: float) -> str:
    """As `signed`; an end next to zero is not shown as zero, which would be inside."""
    small = abs(value) < 0.0005 and abs(value) > _NO_ROUNDING
    return f"{value:+.1g}" if small else signed(value)


def estimate(metric: Metric | None) -> str:
    """The value and its interval, where there is one."""
    if metric is None:
        return ABSENT
    return f"{number(metric.value)} {interval(metric)}".rstrip()


def difference(metric: Metric) -> str:
    """A signed value and its interval, where there is one."""
    return f"{signed(metric.value)} {signed_interval(metric)}".rstrip()


def p_value(p: float | None) -> str:
    """Three decimals, `<0.001` below them, "–" where the test decides nothing."""
    if p is None:
        return ABSENT
    return "<0.001" if p < 0.001 else number(p)


def p_statement(p: float | None) -> str:
    """`p = 0.034`, `p < 0.001`, or that there is none."""
    if p is None:
        return "no p-value"
    return "p < 0.001" if p < 0.001 else f"p = {number(p)}"


def in_hundred(chance: float) -> str:
    """A chance in 100 cases; never 0 or 100, which would be certain."""
    if chance < 0.01:
        return "under 1"
    return "over 99" if chance > 0.99 else f"{100 * chance:.0f}"


def count(value: float | None) -> str:
    """A whole number with thousands separated, "–" for None."""
    return ABSENT if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Seconds to three significant digits of use: 0.042, 3.14, 1,234."""
    if value is None:
        return ABSENT
    if value < 1:
        return number(value)
    return number(value, 2) if value < 100 else count(value)


def duration(seconds: float) -> str:
    """As a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def display_width(text: str) -> int:
    """Columns on a terminal, or characters of a plot: wide East Asian ones count double."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) + 0.0
