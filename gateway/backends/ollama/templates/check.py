"""Does a Go template of Ollama's say what a model's own Jinja chat template says?

Both render the same conversations, and the texts are compared. Nothing is believed by its name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.backends.ollama.templates.go.ollama import OllamaTemplate
from gateway.backends.ollama.templates.go.tree import ExecutionFails
from gateway.core.errors import InvalidRequest
from gateway.core.types import Message, Role
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.models.chat_template import ChatTemplate

_TEXTS = (
    "What is 2 + 2?",
    "Zwei Zeilen,\n\nmit \"Anführung\", 'quotes' & `code`\tand a tab",
    "naïve 日本語 😀 {{ .System }} {% if x %} {{ \\n </s",
    "",
)
_SPACED = "  \n white space around a text \n\n"


@dataclass(frozen=True, slots=True)
class Probe:
    """A conversation that both templates render."""

    kind: str
    """What sort of conversation, as a person would say it."""
    messages: tuple[Message, ...]
    usual: bool = True
    """Whether two templates that differ here are of no use for each other."""
    spaced: bool = False
    """Whether there is white space around the messages' texts."""


@dataclass(frozen=True, slots=True)
class OwnTemplate:
    """A model's chat template, and what its vocabulary has to do with it."""

    template: ChatTemplate
    special: Mapping[str, str]
    """Texts of `bos_token` and `eos_token`."""
    added: str = ""
    """What the vocabulary puts before a prompt by itself; it is no part of the text."""

    def render(self, messages: Sequence[Message], *, begin_answer: bool = True) -> str | None:
        """The text without what the vocabulary adds; None where the template refuses."""
        try:
            text = self.template.render(messages, special=self.special, begin_answer=begin_answer)
        except InvalidRequest:
            return None
        return text.removeprefix(self.added)


def own_template(source: str, vocabulary: GgufVocabulary) -> OwnTemplate:
    """A Jinja chat template with what the vocabulary of its model says.

    Raises:
        ConfigError: the template does not compile.
    """
    bos, eos = (vocabulary.special_text(which) for which in ("bos", "eos"))
    first = vocabulary.tokenize([("", True)], add_special=True)[:1]
    return OwnTemplate(
        ChatTemplate(source),
        special={"bos_token": bos, "eos_token": eos},
        added=bos if bos and [vocabulary.token_text(token) for token in first] == [bos] else "",
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """A conversation of which the two templates make two texts."""

    probe: Probe
    own: str | None
    """What the model's own template renders; None: it refuses the conversation."""
    go: str | None
    """What the Go template renders; None: it refuses the conversation."""

    @property
    def only_space(self) -> bool:
        """Whether the texts are the same but for white space, which Jinja can strip and Go
        cannot."""
        if self.own is None or self.go is None:
            return False
        return "".join(self.own.split()) == "".join(self.go.split())


def probes() -> tuple[Probe, ...]:
    """All conversations that are compared, the usual kinds first."""
    return (*_usual(), *_odd())


def differences(own: OwnTemplate, go_source: str) -> list[Difference]:
    """The conversations that a Go template renders otherwise than the model's own template.

    Both refusing one is no difference.

    Args:
        go_source: any template for Ollama, such as a Modelfile's or the one that `/api/show` gives.

    Raises:
        GoTemplateError: it does not parse, or uses what cannot be rendered here.
    """
    template = OllamaTemplate(go_source)
    pairs = ((probe, own.render(probe.messages), _go(template, probe)) for probe in probes())
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]


def kinds(found: Sequence[Difference]) -> list[str]:
    """The kinds of conversation that differ, each once, the usual ones first."""
    return list(dict.fromkeys(difference.probe.kind for difference in found))


def conversation(roles: str, texts: Sequence[str]) -> tuple[Message, ...]:
    """Messages of these roles, each by its first letter, and texts."""
    named: dict[str, Role] = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return tuple(Message(named[r], text) for r, text in zip(roles, texts, strict=True))


_USUAL = {
    "u": "a user's message",
    "su": "a system message and a user's",
    "uau": "two questions",
    "suau": "a system message and two questions",
    "uauau": "three questions",
    "suauau": "a system message and three questions",
}
_ODD = {
    "ua": "an assistant's message at the end",
    "au": "an assistant's message at the beginning",
    "usu": "a system message in the middle",
    "ssu": "two system messages in a row",
    "uu": "two of the user's messages in a row",
    "uatu": "a tool's answer",
}


def _usual() -> Iterator[Probe]:
    for roles, kind in _USUAL.items():
        for start in range(len(_TEXTS)):
            texts = [_TEXTS[(start + i) % len(_TEXTS)] for i in range(len(roles))]
            yield Probe(kind, conversation(roles, texts))


def _odd() -> Iterator[Probe]:
    for roles in _USUAL:
        yield Probe(
            "white space around a message's text",
            conversation(roles, [_SPACED] * len(roles)),
            usual=False,
            spaced=True,
        )
    for roles, kind in _ODD.items():
        texts = [f"Text {number}." for number in range(len(roles))]
        yield Probe(kind, conversation(roles, texts), usual=False)


def _go(template: OllamaTemplate, probe: Probe) -> str | None:
    try:
        return template.render(probe.messages)
    except ExecutionFails:
        return None
