"""Prompt templates: Jinja text with its settings in front, rendered in a sandbox.

    {#
    mode = "score"          score | generate | constrained
    exemplars = 2           of each label (numbers and JSON: in all); absent: none are shown
    nearest = 6             in all, where --exemplars nearest
    max_tokens = 32         of a written answer

    [reasoning]             the model writes up to so many tokens before it answers
    tokens = 48
    stop = ["Label:"]

    [shorten]               a longer field is shortened, counted in the model's own tokens
    body = { tokens = 160, keep = "head" }      head | head_tail
    [shorten_exemplar]      the same, for exemplars
    body = { tokens = 50, keep = "head" }
    #}
    {% block system %}...{% endblock %}     may be absent
    {% block user %}...{% endblock %}       rendered for the item, and for each exemplar before it
    {% block answer %}...{% endblock %}     how the answer begins; after the reasoning, if any

A template sees the task's input fields by name, `task` (its description), `labels` (each with name
and description), `values` (JSON: field -> allowed values), `minimum` and `maximum`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field

from gateway.core.digests import digest_text
from gateway.core.errors import ConfigError, located
from gateway.core.names import check_name
from gateway.core.toml import parse_toml
from gateway.core.types import Answer, Message
from gateway.core.whole import Whole
from gateway.tasks.exemplars import Exemplar
from gateway.tasks.task import Task

Mode = Literal["score", "generate", "constrained"]
GAP = "\n[...]\n"
"""Stands where the middle of a field was left out."""

_SETTINGS = re.compile(r"\A\s*\{#-?(.*?)-?#\}", re.DOTALL)
_GIVEN = frozenset({"task", "labels", "values", "minimum", "maximum"})


class Shortener(Protocol):
    """Cuts text at token boundaries of the model that will read it."""

    def count(self, text: str) -> int: ...

    def head(self, text: str, tokens: int) -> str: ...

    def tail(self, text: str, tokens: int) -> str: ...


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    tokens: Whole = Field(ge=8, le=1 << 20)
    keep: Literal["head", "head_tail"]


class _Reasoning(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    tokens: Whole = Field(ge=1, le=1 << 16)
    stop: list[Annotated[str, Field(min_length=1)]] = []


class _Settings(BaseModel):
    """The text before a template; keys that are not known are an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    mode: Mode
    exemplars: Whole = Field(default=0, ge=0, le=1000)
    nearest: Whole = Field(default=6, ge=1, le=1000)
    max_tokens: Whole = Field(default=32, ge=1, le=1 << 16)
    reasoning: _Reasoning | None = None
    shorten: dict[str, _Rule] = {}
    shorten_exemplar: dict[str, _Rule] = {}


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """What is sent to the model for one item."""

    messages: tuple[Message, ...]
    answer_start: str
    shortened: Mapping[str, tuple[int, int]]
    """Fields of the item that were shortened: tokens before and after."""


class PromptTemplate:
    """One strategy of a task. Made by `load_template`."""

    def __init__(self, path: Path, source: str, task: Task) -> None:
        self.strategy = path.stem
        self.source = source
        self.digest = digest_text(source)
        self._path = path
        self._settings = _settings(path, source, task)
        self._template = _compile(path, source, task)

    @property
    def mode(self) -> Mode:
        """How the answer comes about."""
        return self._settings.mode

    @property
    def exemplars(self) -> int:
        """How many exemplars of each label (numbers and JSON: in all); 0: none."""
        return self._settings.exemplars

    @property
    def nearest(self) -> int:
        """How many exemplars in all, where the nearest are chosen."""
        return self._settings.nearest

    @property
    def max_tokens(self) -> int:
        """Of a written answer."""
        return self._settings.max_tokens

    @property
    def reasoning_tokens(self) -> int:
        """Budget of the reasoning before the answer; 0: none."""
        return self._settings.reasoning.tokens if self._settings.reasoning else 0

    @property
    def reasoning_stop(self) -> tuple[str, ...]:
        """Texts that end the reasoning."""
        return tuple(self._settings.reasoning.stop) if self._settings.reasoning else ()

    def render(
        self,
        task: Task,
        labels: Sequence[str],
        fields: Mapping[str, str],
        exemplars: Sequence[Exemplar],
        shortener: Shortener,
    ) -> RenderedPrompt:
        """The messages for one item: system, a pair of turns an exemplar, and the question.

        Raises:
            ConfigError: the template fails; says which one and in which line.
        """
        given = {
            "task": task.description,
            "labels": [{"name": n, "description": task.describe(n)} for n in labels],
            "values": {name: list(values) for name, values in task.answer_values.items()},
            "minimum": f"{task.minimum:g}",
            "maximum": f"{task.maximum:g}",
        }
        shown, shortened = _shorten(fields, self._settings.shorten, shortener)
        item = {**given, **shown}
        messages = []
        if system := self._block("system", item):
            messages.append(Message("system", system))
        for exemplar in exemplars:
            brief, _ = _shorten(exemplar.fields, self._settings.shorten_exemplar, shortener)
            example = {**given, **brief}
            answer = self._block("answer", example) + written(exemplar.gold, exemplar.rationale)
            messages.append(Message("user", self._block("user", example)))
            messages.append(Message("assistant", answer))
        messages.append(Message("user", self._block("user", item)))
        return RenderedPrompt(tuple(messages), self._block("answer", item), shortened)

    @property
    def has_system(self) -> bool:
        """Whether it writes a system message."""
        return "system" in self._template.blocks

    def _block(self, name: str, variables: Mapping[str, Any]) -> str:
        if name not in self._template.blocks:
            return ""
        context = self._template.new_context(dict(variables))
        try:
            text = "".join(self._template.blocks[name](context))
        # A template may call anything on its values: whatever comes out of it is its fault.
        except Exception as exc:
            raise ConfigError(f"{self._path}: block {name}: {exc}") from exc
        # The line ends around a block are layout; spaces and line ends of an answer's beginning
        # decide how its first token is read.
        return text if name == "answer" else text.strip()


def written(gold: Answer, rationale: str = "") -> str:
    """An answer as an exemplar shows it and a model is expected to write it: the answer on the
    first line, behind it the reason, if there is one."""
    return f"{_written(gold)}\n{rationale.strip()}" if rationale.strip() else _written(gold)


def _written(gold: Answer) -> str:
    if isinstance(gold, str):
        return gold
    if isinstance(gold, float):
        return f"{gold:g}"
    return json.dumps(dict(gold), ensure_ascii=False)


def load_template(task: Task, strategy: str, root: Path) -> PromptTemplate:
    """The template of a strategy.

    Raises:
        ConfigError: there is none of that name, or it is wrong: settings, syntax, variables.
    """
    path = root / task.name / f"{check_name(strategy, 'strategy')}.j2"
    if not path.is_file():
        raise ConfigError(
            f"the task {task.name} has no strategy {strategy!r}",
            hint=f"known: {', '.join(list_strategies(task, root)) or 'none'}",
        )
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc
    return PromptTemplate(path, source, task)


def list_strategies(task: Task, root: Path) -> list[str]:
    """Names of a task's templates; the three that every task has come first."""
    usual = ["zero_shot", "few_shot", "cot"]
    found = {path.stem for path in (root / task.name).glob("*.j2")}
    return [name for name in usual if name in found] + sorted(found - set(usual))


def _settings(path: Path, source: str, task: Task) -> _Settings:
    found = _SETTINGS.match(source)
    if not found:
        raise ConfigError(
            f"{path}: the settings are missing",
            hint='a template begins with {# mode = "score" #}',
        )
    with located(f"{path}: settings"):
        settings = parse_toml(found.group(1), _Settings)
    for field in {**settings.shorten, **settings.shorten_exemplar}:
        if field not in task.fields:
            raise ConfigError(f"{path}: settings: the task has no field {field!r} to shorten")
    if settings.mode == "score" and task.kind != "classification":
        raise ConfigError(
            f"{path}: labels are scored and a {task.kind} has none",
            hint='mode = "generate" or "constrained"',
        )
    return settings


def _compile(path: Path, source: str, task: Task) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    try:
        wanted = jinja2.meta.find_undeclared_variables(environment.parse(source))
        template = environment.from_string(source)
    except jinja2.TemplateSyntaxError as exc:
        raise ConfigError(f"{path}:{exc.lineno}: {exc.message}") from exc
    except jinja2.TemplateError as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    known = _GIVEN | set(task.fields)
    if unknown := sorted(wanted - known):
        raise ConfigError(
            f"{path}: {unknown[0]!r} is not known", hint=f"known: {', '.join(sorted(known))}"
        )
    if "user" not in template.blocks:
        raise ConfigError(f"{path}: no {{% block user %}}, which asks the question")
    if more := sorted(set(template.blocks) - {"system", "user", "answer"}):
        raise ConfigError(f"{path}: block {more[0]!r}: only system, user and answer are read")
    return template


def _shorten(
    fields: Mapping[str, str], rules: Mapping[str, _Rule], shortener: Shortener
) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    shown = dict(fields)
    shortened = {}
    for field, rule in rules.items():
        before = shortener.count(shown[field])
        if before <= rule.tokens:
            continue
        if rule.keep == "head":
            shown[field] = shortener.head(shown[field], rule.tokens)
        else:
            left = rule.tokens - shortener.count(GAP)
            head = shortener.head(shown[field], left - left // 2)
            shown[field] = head + GAP + shortener.tail(shown[field], left // 2)
        shortened[field] = (before, shortener.count(shown[field]))
    return shown, shortened
