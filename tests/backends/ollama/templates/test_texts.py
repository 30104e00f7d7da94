"""The texts around messages are found by rendering, however a template makes them."""

from gateway.backends.ollama.templates.check import OwnTemplate
from gateway.backends.ollama.templates.texts import Texts, read_off
from gateway.models.chat_template import PLAIN, ChatTemplate

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
TURNS = (
    "{% for m in messages %}{{ '[' ~ m.role ~ ']' ~ m.content ~ '[end]' }}{% endfor %}"
    "{{ '[assistant]' if add_generation_prompt else eos_token }}"
)
DEFAULT = "{{ '[system]Be brief.[end]' if messages[0].role != 'system' }}"


def texts(source: str, added: str = "") -> Texts | None:
    return read_off(OwnTemplate(ChatTemplate(source), SPECIAL, added))


def test_each_role_has_what_stands_before_and_after_it() -> None:
    assert texts("{{ bos_token }}" + DEFAULT + TURNS) == Texts(
        start="<s>",
        first_user_open="[system]Be brief.[end][user]",
        user_open="[user]",
        user_close="[end]",
        assistant_open="[assistant]",
        assistant_close="[end]",
        answer_open="[assistant]",
        system_open="[system]",
        after_system="[end][user]",
        system_refused=False,
    )


def test_a_bos_is_a_start_only_where_the_template_writes_it_once_and_first() -> None:
    each = "{% for m in messages %}{{ bos_token ~ m.content }}{% endfor %}"
    for source, added in ((TURNS, ""), ("{{ bos_token }}" + TURNS, "<s>"), (each, "")):
        found = texts(source, added)
        assert found is not None
        assert found.start == ""


def test_a_system_message_is_refused_lost_or_stands_first() -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + TURNS
    loses = "{% set messages = messages | rejectattr('role', 'eq', 'system') | list %}" + TURNS
    found = [texts(source) for source in (refuses, loses, TURNS)]
    assert [(each.system_open, each.system_refused) for each in found if each] == [
        (None, True),
        (None, False),
        ("[system]", False),
    ]


def test_a_template_without_a_turn_s_end_has_none() -> None:
    found = texts("{% for m in messages %}{{ '\n' ~ m.content }}{% endfor %}\n")
    assert found is not None
    assert (found.user_close, found.assistant_close) == ("", "")
    plain = texts(PLAIN)
    assert plain is not None
    assert (plain.user_open, plain.assistant_close) == ("", "\n\n")


def test_messages_that_do_not_come_back_give_no_texts() -> None:
    for source in ("", "{{ messages[-1].content }}", "{{ raise_exception('no') }}", TURNS * 2):
        assert texts(source) is None
