"""A chat template has an end, whatever it does: it comes with a file that nobody has read."""

import time

import pytest

from gateway.core.errors import InvalidRequest
from gateway.core.types import Message
from gateway.models.chat_template import ChatTemplate

ASKED = (Message("user", "Hi"),)
GROWING = (
    "{% set ns = namespace(x=START) %}{% for i in range(99) %}{% set ns.x = MORE %}{% endfor %}"
)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 1500000000 }}",
        "{% set x %}{{ [1] * 1500000000 }}{% endset %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(40) }}",
        "{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
        GROWING.replace("START", "'ab'").replace("MORE", "ns.x + ns.x"),
        GROWING.replace("START", "'ab'").replace("MORE", "ns.x ~ ns.x"),
        GROWING.replace("START", "[1]").replace("MORE", "[ns.x, ns.x]"),
        GROWING.replace("START", "9").replace("MORE", "ns.x * ns.x"),
        GROWING.replace("START", "1").replace("MORE", "namespace(a=ns.x, b=ns.x)") + "{{ ns.x }}",
        "{{ 9 ** 999999999 }}",
        "{{ 'a' | center(1500000000) }}",
        "{{ 'a'.rjust(1500000000) }}",
        "{{ '%1500000000d' % 1 }}",
        "{{ '{:>1500000000}'.format(1) }}",
        "{{ '{:>{}}'.format(1, 1500000000) }}",
        "{{ 'a' | batch(1500000000, 'x') | list }}",
        "{{ ('a' * 1000000) | replace('a', 'b' * 1000000) }}",
        "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
        "{{ range(9999) | join('x' * 900000) }}",
        "{{ lipsum(n=100000000) }}",
        "{{ messages | random }}",
        "{% for a in range(99999) %}{{ 'y' * 100000 }}{% endfor %}",
    ],
)
def test_what_would_not_end_is_refused_in_time(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(InvalidRequest, match="the chat template fails"):
        ChatTemplate(source).render(ASKED, special={})
    assert time.thread_time() - began < 5.5


def test_a_long_conversation_is_rendered() -> None:
    source = "{% for m in messages %}{{ m.role ~ (m.content | trim) }}{% endfor %}"
    turns = [Message("user", "word " * 200)] * 2000
    assert len(ChatTemplate(source).render(turns, special={})) == 2000 * 1003
