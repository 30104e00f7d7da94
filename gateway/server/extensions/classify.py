"""POST /v1/classify: a label and the probability of each, from label scores, never from samples."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from gateway.core.errors import ConfigError, InvalidRequest
from gateway.core.types import GenerationRequest, Message
from gateway.models.adapters.card import learned_strategy
from gateway.models.environment import prompts_root
from gateway.scoring.rules import Calibrator, ScoreRule
from gateway.server.client_work import unless_gone
from gateway.server.extensions.scores import Labels
from gateway.server.openai.chat_wire import ChatMessage
from gateway.server.service import Service, Session
from gateway.server.wire import Answered, Text, Wire, finite
from gateway.tasks.prompts import PromptTemplate, load_template
from gateway.tasks.task import Task, load_task

_RULES = ("sum", "mean", "per_byte")
"""Rules that need nothing fitted beforehand."""


class ClassifyRequest(Wire):
    """A text under a task's prompt, or messages that ask a question of their own, with labels."""

    model: Text
    task: Text | None = None
    """Name of a task; its template writes the prompt. Goes with text."""
    strategy: Text | None = None
    """Of the task; one that scores labels and shows no exemplars. None: the one that the model's
    adapter has learned, else zero_shot."""
    text: Text | None = None
    """The task's last field."""
    fields: dict[str, Text] = Field(default_factory=dict)
    """The task's other fields; those that are not given are empty."""
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    """Instead of task and text: the whole question."""
    labels: Labels | None = None
    """Needed with messages, and for a task that has none of its own."""
    score_rule: Text = "sum"
    """sum, mean (of the label's tokens) or per_byte."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.messages is None) == (self.text is None):
            raise ValueError("give either text and a task, or messages and labels")
        if (self.task is None) != (self.text is None):
            raise ValueError("task: a text is asked under a task, and messages without one")
        if self.messages is not None and (self.fields or self.strategy is not None):
            raise ValueError("fields and strategy belong to a task")
        return self


class LabelProbability(Answered):
    """One label's share."""

    label: str
    probability: float
    """Among the labels; they sum to 1."""
    logprob: float
    """ln P(the model answers exactly this and stops | prompt), before any rule."""


class Classification(Answered):
    """The label, and how likely each is."""

    model: str
    label: str
    probabilities: list[LabelProbability]
    """In the order of the labels."""
    score_rule: str
    prompt_tokens: int
    shortened: dict[str, list[int]]
    """Fields that the task's template shortened: tokens before and after."""
    system_fingerprint: str


class ClassifyRoutes:
    """The endpoint, on a service.

    Args:
        prompts: folder of tasks; None: the shipped one, or the environment's.
    """

    def __init__(self, service: Service, prompts: Path | None) -> None:
        self._service = service
        self._prompts = prompts or prompts_root()

    def add_to(self, router: APIRouter) -> None:
        router.post("/v1/classify", summary="Label a text")(self.classify)

    async def classify(self, body: ClassifyRequest, request: Request) -> Classification:
        """The most likely label, all of them finished. The same numbers as `gateway classify`
        gives with that rule, and with --label-search full where there are more than 20 labels."""
        return await unless_gone(request.receive, self._classify(body))

    async def _classify(self, body: ClassifyRequest) -> Classification:
        rule = _rule(body.score_rule)
        asked = _Messages(body) if body.task is None else self._task(body)
        async with self._service.session(body.model) as session:
            request, shortened = asked.request(session)
            scores = await session.score(request, asked.labels)
        calibrator = Calibrator.fit(rule, asked.labels)
        shares = calibrator.probabilities(scores)
        rows = zip(scores.labels, scores.logprobs, strict=True)
        return Classification(
            model=body.model,
            label=calibrator.best(shares),
            probabilities=[
                LabelProbability(label=x, probability=shares[x], logprob=finite(logprob))
                for x, logprob in rows
            ],
            score_rule=rule.value,
            prompt_tokens=scores.prompt_tokens,
            shortened=shortened,
            system_fingerprint=scores.fingerprint,
        )

    def _task(self, body: ClassifyRequest) -> "_TaskText":
        try:
            task = load_task(body.task or "", self._prompts)
        except ConfigError as exc:
            raise InvalidRequest(exc.message, hint=exc.hint, parameter="task") from exc
        try:
            strategy = body.strategy or self._learned(body.model, task) or "zero_shot"
            template = load_template(task, strategy, self._prompts)
        except ConfigError as exc:
            raise InvalidRequest(exc.message, hint=exc.hint, parameter="strategy") from exc
        return _TaskText(body, task, template)

    def _learned(self, model: str, task: Task) -> str:
        learned_in = self._service.model(model).learned_in
        return learned_strategy(learned_in, task.name) if learned_in else ""


class _Messages:
    """A question that the client wrote itself."""

    def __init__(self, body: ClassifyRequest) -> None:
        if body.labels is None or len(body.labels) < 2:
            raise InvalidRequest("messages need two labels or more", parameter="labels")
        self.labels = tuple(body.labels)
        self._request = GenerationRequest(
            body.model, tuple(Message(m.plain_role, m.text) for m in body.messages or ())
        )

    def request(self, _: Session) -> tuple[GenerationRequest, dict[str, list[int]]]:
        return self._request, {}


class _TaskText:
    """A text, asked as a task's template asks."""

    def __init__(self, body: ClassifyRequest, task: Task, template: PromptTemplate) -> None:
        self._body, self._task, self._template = body, task, template
        if template.mode != "score" or template.exemplars or template.reasoning_tokens:
            raise InvalidRequest(
                f"the strategy {template.strategy!r} does more than score labels after one prompt",
                hint="zero_shot, or gateway classify",
                parameter="strategy",
            )
        own = tuple(label.name for label in task.labels)
        if own and body.labels is not None:
            raise InvalidRequest(f"the task {task.name} has labels of its own", parameter="labels")
        self.labels = own or tuple(body.labels or ())
        if len(self.labels) < 2:
            raise InvalidRequest(
                f"the task {task.name} has no labels of its own", parameter="labels"
            )
        if unknown := sorted(set(body.fields) - set(task.fields[:-1])):
            raise InvalidRequest(
                f"the task {task.name} has no field {unknown[0]!r} beside its text",
                parameter="fields",
            )

    def request(self, session: Session) -> tuple[GenerationRequest, dict[str, list[int]]]:
        fields = dict.fromkeys(self._task.fields, "") | self._body.fields
        fields[self._task.fields[-1]] = self._body.text or ""
        session.check_characters(sum(map(len, fields.values())), "text")
        prompt = self._template.render(self._task, self.labels, fields, (), session.backend)
        request = GenerationRequest(self._body.model, prompt.messages)
        shortened = {name: list(counts) for name, counts in prompt.shortened.items()}
        return replace(request, answer_start=prompt.answer_start), shortened


def _rule(name: str) -> ScoreRule:
    if name not in _RULES:
        raise InvalidRequest(
            f"score_rule is {name!r}; allowed: {', '.join(_RULES)}", parameter="score_rule"
        )
    return ScoreRule.named(name)
