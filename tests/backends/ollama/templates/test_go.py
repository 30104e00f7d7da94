"""Go's template language is executed as Go executes it, and nothing of it is guessed."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.ollama.templates.check import conversation, probes
from gateway.backends.ollama.templates.go.executing import execute
from gateway.backends.ollama.templates.go.functions import FUNCTIONS
from gateway.backends.ollama.templates.go.ollama import OllamaTemplate
from gateway.backends.ollama.templates.go.reading import parse
from gateway.backends.ollama.templates.go.tree import ExecutionFails, Struct, Value
from gateway.core.errors import GoTemplateError
from gateway.core.types import GenerationRequest, Message, Role
from tests.conftest import recorded_exchange
from tests.support.go_oracle import Go

SPOKEN = conversation("suau", ["Be brief.", "Hi {{ . }}", "naïve 日本", ""])


def data(messages: tuple[Message, ...] = SPOKEN) -> Value:
    empty: dict[str, Value] = {
        "Thinking": "",
        "Images": (),
        "ToolCalls": (),
        "ToolName": "",
        "ToolCallID": "",
    }
    turns = [Struct({"Role": m.role, "Content": m.content, **empty}) for m in messages]
    system = "\n\n".join(m.content for m in messages if m.role == "system")
    return {"System": system, "Messages": turns, "Tools": (), "Response": "", "Think": False}


RENDERED = {
    "": "",
    "a {{- /* b */ -}} c": "ac",
    'a {{- " b " -}} \n c': "a b c",
    "{{3}}{{- -3}} {{ -3 -}} x": "3-3 -3x",
    '{{ `{{` }}{{ "\\u00e9\\t\\"" }}': '{{é\t"',
    "{{ .System }}|{{ .Absent }}|{{ .Think }}": "Be brief.|<no value>|false",
    "{{ range .Messages }}{{ .Role }},{{ end }}": "system,user,assistant,user,",
    "{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Role }}{{ end }}": "0system1user2assistant3user",
    "{{ range $m := .Messages }}{{ $.System }}{{ break_ }}{{ end }}": None,
    "{{ range .Tools }}x{{ else }}none{{ end }}": "none",
    "{{ if .Tools }}1{{ else if .Think }}2{{ else if .System }}3{{ else }}4{{ end }}": "3",
    "{{ with .System }}{{ . }}{{ else }}x{{ end }}{{ with .Tools }}{{ else }}y{{ end }}": (
        "Be brief.y"
    ),
    "{{ $n := 0 }}{{ range .Messages }}{{ $n = len .Content }}{{ end }}{{ $n }}": "0",
    "{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}": "21",
    "{{ (index .Messages 2).Content | len }}": str(len("naïve 日本".encode())),
    "{{ slice .System 3 }}{{ len (slice .Messages 1 3) }}": "brief.2",
    "{{ and .System .Think .Absent.Field }}{{ or .Think .System }}": "falseBe brief.",
    "{{ eq .System 1 }}": None,
    '{{ eq "a" "b" "a" }}{{ ne 1 2 }}{{ lt "B" "a" }}{{ ge 2 2 }}{{ not "" }}': "truetrue" * 2
    + "true",
    "{{ if": None,
    "{{ end }}": None,
    "{{ $no }}": None,
    '{{ printf "%d" 1 }}': None,
    '{{ template "x" }}': None,
    "{{ 'c' }}": None,
    "{{ 1.5 }}": None,
    "{{ .Messages }}": None,
    "{{ (index .Messages 9).Role }}": None,
    "{{ range .Messages }}{{ .Name }}{{ end }}": None,
    '{{ slice "no system message" 99 }}': None,
    "{{ range .System }}{{ end }}": None,
}
"""Template and what it writes; None: it is an error."""


@pytest.mark.parametrize("source", RENDERED)
def test_it_writes_what_go_writes_or_says_that_it_can_not(source: str) -> None:
    wanted = RENDERED[source]
    if wanted is None:
        with pytest.raises(GoTemplateError, match="Go template"):
            execute(parse(source), data())
    else:
        assert execute(parse(source), data()) == wanted


def test_what_is_wrong_is_said_with_its_line() -> None:
    with pytest.raises(GoTemplateError, match="line 3: the function printf"):
        parse("a\nb\n{{ printf }}")


def test_no_template_runs_for_ever_or_fills_the_memory() -> None:
    nested = "{{ range $.Messages }}" * 20 + "{{ .Role }}" + "{{ end }}" * 20
    with pytest.raises(GoTemplateError, match="steps"):
        execute(parse(nested), data())
    with pytest.raises(GoTemplateError, match="levels"):
        parse("{{ if true }}" * 1000)
    with pytest.raises(GoTemplateError, match="levels"):
        parse("{{ " + "(" * 1000 + "1" + ")" * 1000 + " }}")
    with pytest.raises(GoTemplateError, match="characters"):
        parse("{{ 1 }}" * 10_000)
    long = "{{ range $.Messages }}" * 6 + "{{ $.System }}" + "{{ end }}" * 6
    with pytest.raises(GoTemplateError, match="characters"):
        execute(parse(long), data((*SPOKEN, Message("system", "x" * 100_000))))


@given(st.text(alphabet='{}-."$|()=: abeginfrd0\n`\\', max_size=40))
def test_any_text_is_a_template_or_is_refused(source: str) -> None:
    with contextlib.suppress(GoTemplateError):
        execute(parse(source), data())


# Against Go itself


def agree(go: Go, source: str, messages: tuple[Message, ...]) -> None:
    """What is rendered here is what Go renders; where Go is said to fail, Go fails."""
    theirs = go(source, messages)
    try:
        ours = execute(parse(source), data(messages))
    except ExecutionFails:
        assert theirs.at == "execute", (source, theirs)
    except GoTemplateError:
        pass
    else:
        assert (theirs.text, theirs.error) == (ours, ""), source


@pytest.mark.parametrize("source", RENDERED)
def test_go_agrees_on_the_examples(go: Go, source: str) -> None:
    agree(go, source, SPOKEN)


TEXT = st.sampled_from([" ", "\n", " a\t", "<|im_start|>", "{", "}}", "-", "é\n\n", "/*"])
TERM = st.sampled_from(
    [
        *(".", "$", "$.System", ".System", ".Think", ".Absent", ".Tools", ".Role", ".Content"),
        *(".Messages", "$.Messages", "$i", "$m", "$m.Role", "$x", "0", "1", "-2", "true", "nil"),
        *('"user"', '""', "`{{`", '"a\\n\\u00e9"', "(index $.Messages 0).Role"),
    ]
)
FUNCTION = st.sampled_from(["and", "or", *FUNCTIONS])


def calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operand = TERM | inner.map(lambda text: f"({text})")
    call = st.tuples(FUNCTION, st.lists(operand, max_size=3)).map(lambda c: " ".join([c[0], *c[1]]))
    return call | st.tuples(operand, FUNCTION).map(" | ".join)


PIPELINE = st.recursive(TERM, calls, max_leaves=4)
LEFT, RIGHT = st.sampled_from(["{{", "{{ ", "{{- "]), st.sampled_from(["}}", " }}", " -}}"])
ACTION = st.tuples(LEFT, st.sampled_from(["", "$x := ", "$x = "]), PIPELINE, RIGHT).map("".join)


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, max_size=4).map("".join)
    opening = st.sampled_from(
        ["if", "with", "range", "range $i, $m :=", "range $m :=", "if $x :=", "range $i, $x ="]
    )
    otherwise = st.just("") | body.map(lambda text: f"{{{{ else -}}}}{text}")
    return st.tuples(LEFT, opening, PIPELINE, RIGHT, body, otherwise).map(
        lambda b: f"{b[0]}{b[1]} {b[2]}{b[3]}{b[4]}{b[5]}{{{{- end }}}}"
    )


TEMPLATE = st.lists(st.recursive(TEXT | ACTION, blocks, max_leaves=8), max_size=6).map("".join)


@given(
    source=TEMPLATE.map(lambda text: "{{ $i := 0 }}{{ $m := 0 }}{{ $x := 0 }}" + text),
    contents=st.lists(st.text(max_size=4), min_size=1, max_size=3),
)
@example(
    source="{{ $x := 0 }}{{ range $i, $m := .Messages }}{{ $x = $m.Role }}{{ end }}{{ $x }}",
    contents=["a"],
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_go_agrees_on_any_template(go: Go, source: str, contents: list[str]) -> None:
    agree(go, source, conversation("sua"[: len(contents)], contents))


ATOM = st.sampled_from(
    [
        *('eq .Role "user"', 'ne $m.Role "system"', "$.System", ".Content", "$.Absent"),
        *("eq $i 0", "lt $i 1", "eq (len (slice $.Messages $i)) 1", "$.Tools", "$x", "ne $x 2"),
        *("(index $.Messages 0).Content", "gt .Role $m.Content", "true", "len .Content | eq 2"),
    ]
)
CONDITION = st.recursive(
    ATOM,
    lambda inner: (
        inner.map("not ({})".format)
        | st.tuples(st.sampled_from(["and", "or"]), inner, inner).map(
            "{0[0]} ({0[1]}) ({0[2]})".format
        )
    ),
    max_leaves=4,
)
WRITTEN = st.sampled_from(
    [
        "{{ .Content }}",
        "{{- $m.Role -}}",
        "{{ $i }}",
        "{{ $x = len .Content }}",
        '{{ "{{" }}',
        "{{$x}}",
    ]
)


def branches(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, max_size=3).map("".join)
    form = (
        "{0[0]}if {0[1]}{0[2]}{0[3]}{{{{ else if {0[4]} }}}}{0[5]}"
        "{{{{- else -}}}}{0[6]}{{{{ end }}}}"
    )
    return st.tuples(LEFT, CONDITION, RIGHT, body, CONDITION, body, body).map(form.format)


TURN = st.lists(st.recursive(TEXT | WRITTEN, branches, max_leaves=8), max_size=5).map("".join)


@given(turn=TURN, contents=st.lists(st.text(max_size=4), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_go_agrees_on_templates_like_those_of_chats(go: Go, turn: str, contents: list[str]) -> None:
    source = f"{{{{ $x := 0 }}}}a {{{{- range $i, $m := .Messages }}}}{turn}{{{{ end }}}} b"
    messages = conversation("sua"[: len(contents)], contents)
    theirs = go(source, messages)
    if theirs.at != "parse":
        assert (theirs.text, theirs.error) == (execute(parse(source), data(messages)), ""), source


# As Ollama uses it


def test_messages_of_one_role_in_a_row_become_one() -> None:
    template = OllamaTemplate("{{ range .Messages }}[{{ .Role }} {{ .Content }}]{{ end }}")
    asked = conversation("ssuuatt", "abcdefg")
    assert template.render(asked) == "[system a\n\nb][user c\n\nd][assistant e][tool f][tool g]"
    system = OllamaTemplate("{{ .System }}{{ range .Messages }}{{ end }}")
    assert system.render(conversation("susa", "abcd")) == "a\n\nc"


LEGACY = "{{ if .System }}<{{ .System }}>{{ end }}{{ .Prompt }}={{ .Response }};{{ .Absent }}"


@pytest.mark.parametrize(
    ("source", "roles", "wanted"),
    [
        (LEGACY, "u", "0="),
        (LEGACY, "su", "<0>1="),
        (LEGACY, "uau", "0=1;<no value>2="),
        (LEGACY, "suasu", "<0>1=2;<no value><3>4="),
        (LEGACY, "ua", "0=1"),
        ("{{ .Prompt }}", "suau", "123"),
        ("{{ if .Prompt }}{{ .Prompt }}:{{ .Response }};{{ end }}!", "uau", "0:1;!2:"),
    ],
)
def test_a_template_without_messages_gets_one_question_after_the_other(
    source: str, roles: str, wanted: str
) -> None:
    texts = [str(number) for number in range(len(roles))]
    assert OllamaTemplate(source).render(conversation(roles, texts)) == wanted


def test_messages_in_a_parenthesis_with_a_field_do_not_make_a_template_one_of_messages() -> None:
    inside = "{{ if (index .Messages 0) }}{{ .Prompt }}{{ end }}"
    assert OllamaTemplate(inside).render(SPOKEN) == "<no value>"
    with pytest.raises(ExecutionFails, match="nothing has no elements"):
        OllamaTemplate("{{ (index .Messages 0).Content }}").render(SPOKEN)


def test_what_ollama_fails_at_is_not_rendered() -> None:
    with pytest.raises(GoTemplateError, match="else"):
        OllamaTemplate("{{ if .System }}{{ .Response }}{{ else }}x{{ end }}").render(SPOKEN)
    with pytest.raises(GoTemplateError, match="alone"):
        OllamaTemplate("{{ slice .Response 0 }}").render(SPOKEN)


RECORDED = [
    ("032-chat", "026-show"),
    ("047-chat-bad-role", "026-show"),
    ("049-chat-stop", "026-show"),
    ("052-generate", "026-show"),
    ("073-chat-past-context", "026-show"),
    ("103-v1-chat-n2", "026-show"),
    ("057-generate-template", ""),
    ("077-model-defaults-leak", "027-show-parameters"),
]
"""An exchange with a real server, and the one that shows the template which it used."""


@pytest.mark.parametrize(("exchange", "shown"), RECORDED)
def test_a_real_server_read_as_many_tokens_as_are_rendered(
    smollm2: LlamaCppBackend, exchange: str, shown: str
) -> None:
    recorded = json.loads(recorded_exchange(exchange))
    asked = recorded["request"]["json"]
    template, default = asked.get("template", ""), ""
    if shown:
        told = json.loads(recorded_exchange(shown))["response"]["json"]
        template, default = told["template"], told.get("system", "")
    text = OllamaTemplate(template).render(_messages(asked, default))
    request = GenerationRequest(model="smollm2-135m", prompt=text)
    answered = recorded["response"]["json"]
    read = answered.get("prompt_eval_count") or answered["usage"]["prompt_tokens"]
    assert len(smollm2.render(request).token_ids) == read


def test_the_template_that_a_server_shows_for_a_base_model_is_not_what_its_chat_reads(
    gemma: LlamaCppBackend,
) -> None:
    """It shows only the question, and its inner server, asked to chat, writes ChatML."""
    recorded = json.loads(recorded_exchange("110-base-model-chat"))
    shown = json.loads(recorded_exchange("109-base-model-show"))["response"]["json"]["template"]
    chatml = json.loads(recorded_exchange("026-show"))["response"]["json"]["template"]
    messages = _messages(recorded["request"]["json"], "")
    counts = [
        len(gemma.render(GenerationRequest("gemma", prompt=text)).token_ids)
        for text in (OllamaTemplate(source).render(messages) for source in (shown, chatml))
    ]
    assert counts == [22, recorded["response"]["json"]["prompt_eval_count"]]


def _messages(asked: dict[str, object], default: str) -> list[Message]:
    """The conversation that a request to a server is; a generation has a question only."""
    turns = asked.get("messages")
    if isinstance(turns, list):
        return [Message(turn["role"], turn["content"]) for turn in turns]
    system, question = asked.get("system", default), asked["prompt"]
    spoken: list[tuple[Role, object]] = [("system", system), ("user", question)]
    return [Message(role, str(text)) for role, text in spoken if text]


def test_every_probe_is_rendered_by_the_templates_of_a_real_server() -> None:
    for name in ("026-show", "027-show-parameters", "109-base-model-show"):
        source = json.loads(recorded_exchange(name))["response"]["json"]["template"]
        for probe in probes():
            assert isinstance(OllamaTemplate(source).render(probe.messages), str)
