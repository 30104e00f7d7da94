"""From what was written to what was answered, when it is written and when it is stored."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.evaluation.store import Observation
from gateway.models.reasoning import part
from gateway.scoring.results import Status
from gateway.tasks.parsing import parse_answer
from gateway.tasks.prompts import PromptTemplate
from gateway.tasks.task import Task

UNCLOSED = "the text ended within the model's thought; more tokens would let it answer"


def begins_a_line(start: str) -> bool:
    """Whether the beginning of an answer, as the prompt has it, leaves a line to go on in."""
    return bool(start) and not start.endswith("\n")


def read(known: Observation, task: Task, labels: Sequence[str]) -> Observation:
    """The observation with the answer to what was said. Where none can be read, it is unparsed, and
    truncated if it ran out of tokens."""
    parsed = parse_answer(known.said or "", task, labels, cut=known.cut, begun=known.begun)
    if parsed.answer is not None:
        return replace(known, status=Status.OK, answer=parsed.answer, reason="")
    reason = parsed.reason
    if known.cut:
        reason = f"the answer ran into its limit of tokens: {reason}"
    status = Status.TRUNCATED if known.cut else Status.UNPARSED
    return replace(known, status=status, answer=None, reason=reason)


def read_again(
    known: Observation, start: str, template: PromptTemplate, task: Task, labels: Sequence[str]
) -> Observation | None:
    """A stored answer as it is read now; None where it must be asked for again, since the store
    does not say which part of the text was the answer.

    Args:
        start: the beginning of the answer, as the prompt has it.
    """
    if known.status is Status.FAILED:
        return None
    if known.said is None:
        if template.reasoning_tokens or part(known.text) or not known.completion_tokens:
            return None
        cut = known.completion_tokens >= template.max_tokens
        known = replace(known, said=known.text, cut=cut, begun=begins_a_line(start))
    return read(known, task, labels)
