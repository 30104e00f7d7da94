"""Whether to prompt, retrieve, fine-tune, or both: rules over a person's answers.

Each rule says when it holds, what it speaks for, why, and where that is from. A rule whose question
was not answered says so instead of guessing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Literal

from gateway.core.types import TaskKind

Goal = Literal["labels", "format", "style", "knowledge"]
Changes = Literal["never", "rarely", "often"]
Latency = Literal["free", "tight"]
Way = Literal["prompt", "retrieve", "fine-tune", "gather"]

GOAL_OF: Mapping[TaskKind, Goal] = {
    "classification": "labels",
    "number": "labels",
    "extraction": "format",
}
"""What a task of that kind is after."""
ENOUGH_EXAMPLES = 100
"""Below it fine-tuning is a gamble: OpenAI's guide to fine-tuning sees clear improvements from 50
to 100 examples on."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a person said; None: not said."""

    goal: Goal | None = None
    examples: int | None = None
    """Labelled, for training."""
    changes: Changes | None = None
    """How often what the model has to know does."""
    best_prompt: float | None = None
    """Score of the best prompt so far, few-shot included."""
    needed: float | None = None
    """Score that is good enough."""
    latency: Latency | None = None
    """Tight: there is no time to read a long prompt."""

    @property
    def reached(self) -> bool | None:
        """A prompt is good enough."""
        if self.best_prompt is None or self.needed is None:
            return None
        return self.best_prompt >= self.needed


@dataclass(frozen=True, slots=True)
class Rule:
    """One step of the framework."""

    name: str
    holds: Callable[[Answers], bool]
    way: Way
    because: str
    source: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, and why."""

    verdict: str
    reasons: tuple[Rule, ...]
    """The rules that hold."""
    questions: tuple[str, ...]
    """Options that would sharpen it."""


_FRAMEWORK = "measure a prompt first: gateway run with zero-shot and few-shot strategies"
RULES: tuple[Rule, ...] = (
    Rule(
        "a prompt is enough",
        lambda a: a.reached is True,
        "prompt",
        "the best prompt reaches what is needed, and a prompt can be changed in a minute",
        "Brown et al. 2020, arXiv:2005.14165 (few-shot prompting)",
    ),
    Rule(
        "no prompt was measured",
        lambda a: a.reached is None,
        "prompt",
        f"whether a prompt is enough is not known; {_FRAMEWORK}",
        "Brown et al. 2020, arXiv:2005.14165 (few-shot prompting)",
    ),
    Rule(
        "knowledge is missing",
        lambda a: a.goal == "knowledge",
        "retrieve",
        "new facts are learned badly by fine-tuning and found well by retrieval",
        "Ovadia et al. 2023, arXiv:2312.05934; Lewis et al. 2020, arXiv:2005.11401",
    ),
    Rule(
        "knowledge changes",
        lambda a: a.changes == "often",
        "retrieve",
        "an index is updated in minutes; weights are out of date with the next change",
        "Lewis et al. 2020, arXiv:2005.11401, section 4.5 (index hot-swapping)",
    ),
    Rule(
        "behaviour is missing",
        lambda a: a.reached is False and _behaviour(a) and _enough(a),
        "fine-tune",
        "no prompt reaches it, what is missing is how to answer, and there are examples of it",
        "Hu et al. 2021, arXiv:2106.09685; Mosbach et al. 2023, arXiv:2305.16938 "
        "(fine-tuning beats few-shot prompts at equal data)",
    ),
    Rule(
        "no time for a long prompt",
        lambda a: a.latency == "tight" and _behaviour(a) and _enough(a),
        "fine-tune",
        "a tuned model needs neither instructions nor exemplars in each prompt",
        "Liu et al. 2022, arXiv:2205.05638 (tuning costs less than in-context examples)",
    ),
    Rule(
        "too few examples",
        lambda a: (
            a.reached is not True
            and _behaviour(a)
            and a.examples is not None
            and a.examples < ENOUGH_EXAMPLES
        ),
        "gather",
        f"fewer than {ENOUGH_EXAMPLES} examples: use them as exemplars, and label more",
        "OpenAI, fine-tuning guide: clear improvements from 50 to 100 examples on",
    ),
)


def advise(answers: Answers) -> Advice:
    """The verdict of the rules that hold."""
    reasons = tuple(rule for rule in RULES if rule.holds(answers))
    return Advice(_verdict(answers, {rule.way for rule in reasons}), reasons, _open(answers))


def _behaviour(a: Answers) -> bool:
    return a.goal in ("labels", "format", "style")


def _enough(a: Answers) -> bool:
    return a.examples is not None and a.examples >= ENOUGH_EXAMPLES


def _verdict(answers: Answers, ways: set[Way]) -> str:
    if answers.reached and ways == {"prompt"}:
        return "prompt"
    if {"retrieve", "fine-tune"} <= ways:
        return "both: retrieve and fine-tune"
    for way in ("retrieve", "fine-tune"):
        if way in ways:
            return way
    if "gather" in ways:
        return "prompt with exemplars, and gather examples"
    return "prompt first"


_QUESTIONS = {
    "goal": "--goal labels|format|style|knowledge: what the model lacks",
    "examples": "--examples N, or --task and --train FILE: how much labelled data there is",
    "changes": "--changes never|rarely|often: how often the facts that it needs do",
    "best_prompt": "--best-prompt SCORE: of the best prompt so far",
    "needed": "--needed SCORE: what is good enough",
    "latency": "--latency free|tight: whether a long prompt can be read in time",
}


def _open(answers: Answers) -> tuple[str, ...]:
    return tuple(_QUESTIONS[f.name] for f in fields(answers) if getattr(answers, f.name) is None)
