"""The same items through two models: whether what was measured with one holds for the other.

The two are usually the same weights behind two backends or in two formats. Three things are
compared for each item: the tokens that each model reads, the text that each writes greedily, and
for classification how each scores the labels. What one of them cannot tell is unknown, and never
counts as equal.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway.backends.pool import ModelPool
from gateway.backends.protocol import Backend
from gateway.core.concurrency import Counting, for_each, uncounted
from gateway.core.errors import RequestError, Unsupported
from gateway.core.sequences import common_length
from gateway.core.types import UNTOLD_TOKEN, Completion, LabelScores, Sampling
from gateway.evaluation.run import Plan, question, reason
from gateway.models.file import Models
from gateway.tasks.task import Item

Inputs = Literal["equal", "different", "unknown"]
Reasons = tuple[tuple[str, str], ...]
"""(item id, why), in the order of the items."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models, and what it could not do."""

    model: str
    backend: str
    fingerprint: str
    identity: Mapping[str, str]
    warnings: tuple[str, ...]
    failures: Reasons
    """Items that it did not answer; they are in no count but their own."""
    unread: Reasons
    """Items that it answered without being able to say which tokens it read."""
    unscored: Reasons
    """Items that it answered without being able to score their labels."""


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two inputs part. The pairs are of the first model and the second."""

    position: int
    """Of the first token that differs, from 0; the shorter input's length where it is the
    beginning of the longer one."""
    token_ids: tuple[int | None, int | None]
    """None: the input has ended."""
    texts: tuple[str | None, str | None]
    """What the tokens add to a text; empty for a control token. None: ended, or not known."""


@dataclass(frozen=True, slots=True)
class LabelParity:
    """How two models score the labels of one item. The pairs are of the first and the second."""

    best: tuple[str | None, str | None]
    """The label of the largest log-probability; of equal ones, the task's first. None: not known,
    because only a bound is known of it."""
    exact: tuple[bool, bool]
    """False: some log-probability is a bound, so that differences say little."""
    differences: tuple[float, ...]
    """Absolute difference of the log-probabilities in nats, one a label, in the labels' order."""

    @property
    def agree(self) -> bool:
        """Whether the best label is known of both, and the same."""
        return self.decided and self.best[0] == self.best[1]

    @property
    def decided(self) -> bool:
        """Whether the best label is known of both."""
        return None not in self.best


@dataclass(frozen=True, slots=True)
class ItemParity:
    """One item that both models answered. The pairs are of the first model and the second."""

    item_id: str
    inputs: Inputs
    input_tokens: tuple[int | None, int | None]
    """How many each read; None: it cannot say."""
    parting: Parting | None
    """Where the inputs part; None where they are equal or unknown."""
    texts: tuple[str, str]
    agreeing_tokens: int | None
    """How many tokens of the texts agree before the first that does not; None: not known, because
    a backend tells no tokens."""
    labels: LabelParity | None
    """None: the task has no labels, or not both could score them."""

    @property
    def differs(self) -> bool:
        """Whether anything was seen to differ; what is unknown was not seen."""
        disagree = self.labels is not None and self.labels.decided and not self.labels.agree
        return self.inputs == "different" or self.texts[0] != self.texts[1] or disagree


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of items, and means over them."""

    asked: int
    compared: int
    """Items that both answered; all that follows is of these."""
    inputs_equal: int
    inputs_different: int
    inputs_unknown: int
    texts_equal: int
    tokens_unknown: int
    """Items whose texts' tokens are not known; they are not in the mean."""
    mean_agreeing_tokens: float | None
    labels_scored: int
    """Items whose labels both scored; what follows is of these."""
    labels_undecided: int
    """Items of which one of them does not know the best label; they neither agree nor differ."""
    labels_agree: int
    not_exact: tuple[int, int]
    """Items of which the first, and the second, gave a bound."""
    exact: int
    """Items of which neither did; the differences are of these."""
    mean_difference: float | None
    """Of the labels' log-probabilities, in nats."""
    max_difference: float | None


@dataclass(frozen=True, slots=True)
class Parity:
    """What two models made of the same items."""

    a: Side
    b: Side
    labels: tuple[str, ...]
    """Empty where the task is not one of classification."""
    tokens: int
    """Most tokens of each text."""
    asked: int
    items: tuple[ItemParity, ...]
    """Those that both answered, in the order of the data."""

    @property
    def totals(self) -> Totals:
        """The items, counted."""
        agreeing = [i.agreeing_tokens for i in self.items if i.agreeing_tokens is not None]
        scored = [item.labels for item in self.items if item.labels is not None]
        exact = [labels for labels in scored if all(labels.exact)]
        differences = [difference for labels in exact for difference in labels.differences]
        inputs = [item.inputs for item in self.items]
        return Totals(
            asked=self.asked,
            compared=len(self.items),
            inputs_equal=inputs.count("equal"),
            inputs_different=inputs.count("different"),
            inputs_unknown=inputs.count("unknown"),
            texts_equal=sum(item.texts[0] == item.texts[1] for item in self.items),
            tokens_unknown=len(self.items) - len(agreeing),
            mean_agreeing_tokens=_mean(agreeing),
            labels_scored=len(scored),
            labels_undecided=sum(not labels.decided for labels in scored),
            labels_agree=sum(labels.agree for labels in scored),
            not_exact=(
                sum(not labels.exact[0] for labels in scored),
                sum(not labels.exact[1] for labels in scored),
            ),
            exact=len(exact),
            mean_difference=_mean(differences),
            max_difference=max(differences, default=None),
        )

    @property
    def differing(self) -> tuple[str, ...]:
        """Parts of the models' identities that differ."""
        a, b = self.a.identity, self.b.identity
        return tuple(name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name))

    @property
    def holds(self) -> bool:
        """Both answered every item, read the same tokens, wrote the same texts and, where the task
        has labels, put the same one first."""
        totals = self.totals
        counts = {totals.compared, totals.inputs_equal, totals.texts_equal}
        if self.labels:
            counts.add(totals.labels_agree)
        return counts == {totals.asked} and totals.asked > 0


async def compare_models(
    plan: Plan, models: Models, *, tokens: int = 20, counting: Counting = uncounted
) -> Parity:
    """`parity` with a pool of its own."""
    async with ModelPool(models) as pool:
        with counting(2 * len(plan.items)) as done:
            return await parity(plan, pool, tokens=tokens, on_done=done)


async def parity(
    plan: Plan,
    pool: ModelPool,
    *,
    tokens: int = 20,
    on_done: Callable[[], None] = lambda: None,
) -> Parity:
    """Ask a plan's first two models its first strategy's questions, one model after the other.

    A strategy that lets the model reason is compared before its reasoning: the tokens read and the
    text are of that prompt. Labels are scored where a run scores them, after each model's own
    reasoning.

    Args:
        tokens: most tokens of each text.
        on_done: called after each item of each model.

    Raises:
        UnknownModel, ModelNotPulled, MissingExtra: of either model; nothing was asked then.
        ConfigError: the template fails.
        BackendError: a model cannot be loaded, or failed.
    """
    first, second = plan.models[:2]
    pool.check((first, second))
    a = await _ask(plan, first, pool, tokens, on_done)
    b = await _ask(plan, second, pool, tokens, on_done)
    return Parity(
        a=a.side,
        b=b.side,
        labels=plan.labels,
        tokens=tokens,
        asked=len(plan.items),
        items=tuple(_items(plan.items, a, b)),
    )


def verdict(made: Parity) -> tuple[str, ...]:
    """What follows from the counts, one sentence a fact."""
    totals = made.totals
    if not totals.compared:
        return ("No item was answered by both models: nothing follows.",)
    return (*_of_failures(totals), *_of_inputs(totals), *_of_answers(made, totals))


def _of_failures(totals: Totals) -> Iterator[str]:
    if failed := totals.asked - totals.compared:
        yield (
            f"{failed} of {totals.asked} items were not answered by both: what follows is without "
            "them."
        )


def _of_inputs(totals: Totals) -> Iterator[str]:
    if totals.inputs_different:
        yield (
            f"They read different tokens on {totals.inputs_different} of {totals.compared} items: "
            "they are not asked the same, and a score measured with one is not the other's."
        )
    if totals.inputs_unknown:
        yield (
            f"What they read is not known on {totals.inputs_unknown} of {totals.compared} items: "
            "nothing shows that they are asked the same there."
        )


def _of_answers(made: Parity, totals: Totals) -> Iterator[str]:
    """Nothing of models that are asked different things: that they agree would be luck."""
    if totals.inputs_different:
        return
    unknown = totals.inputs_unknown > 0
    same = "Whatever they read, " if unknown else "Inputs are the same and "
    if made.labels:
        yield from _of_labels(totals, same)
    if differ := totals.compared - totals.texts_equal:
        yield (
            f"{same}texts differ on {differ} of {totals.compared} items: a score of written "
            "answers has to be measured with each."
        )
    else:
        yield f"{same}all texts of up to {made.tokens} tokens are equal."


def _of_labels(totals: Totals, same: str) -> Iterator[str]:
    if totals.labels_scored < totals.compared:
        yield f"Both scored the labels of {totals.labels_scored} of {totals.compared} items."
    if not totals.labels_scored:
        return
    decided = totals.labels_scored - totals.labels_undecided
    if totals.labels_undecided:
        yield (
            f"On {totals.labels_undecided} of {totals.labels_scored} items one of them knows no "
            "more than bounds of its labels' log-probabilities, and so not which label is best."
        )
    if differ := decided - totals.labels_agree:
        yield (
            f"{same}labels differ on {differ} of {decided} items: a score measured with one does "
            "not hold for the other."
        )
    if differ or totals.labels_undecided:
        return
    # Only by the rule sum: the others rest on counts of tokens or on other requests too.
    yield (
        f"{same}all labels agree: a score measured with one by label scores (rule sum) holds for "
        "the other on these items."
    )
    if totals.exact == totals.labels_scored and totals.max_difference == 0.0:
        yield "The labels' log-probabilities are the same to the last bit."


# Asking


@dataclass(frozen=True, slots=True)
class _Said:
    """What one model made of one item."""

    token_ids: tuple[int, ...] | None
    unread: str
    completion: Completion
    scores: LabelScores | None
    unscored: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """One model's answers, in the order of the items."""

    side: Side
    said: tuple[_Said | RequestError, ...]
    pieces: Mapping[int, str | None]
    """Text of every token that was read, kept because the model is closed before the comparison."""


async def _ask(
    plan: Plan, model: str, pool: ModelPool, tokens: int, on_done: Callable[[], None]
) -> _Asked:
    async with pool.lease(model) as backend:
        said = await _ask_all(plan, backend, tokens, on_done)
        answers = [s for s in said if isinstance(s, _Said)]
        read = {token for answer in answers for token in answer.token_ids or ()}
        return _Asked(
            side=_side(backend, plan.items, said),
            said=said,
            pieces={token: _piece(backend, token) for token in sorted(read)},
        )


async def _ask_all(
    plan: Plan, backend: Backend, tokens: int, on_done: Callable[[], None]
) -> tuple[_Said | RequestError, ...]:
    """As many side by side as the backend likes."""
    said: dict[int, _Said | RequestError] = {}

    async def ask(placed: tuple[int, Item]) -> None:
        place, item = placed
        try:
            said[place] = await _ask_one(plan, backend, item, tokens)
        except RequestError as error:
            said[place] = error
        on_done()

    await for_each(enumerate(plan.items), ask, limit=min(backend.concurrency, len(plan.items)))
    return tuple(said[place] for place in range(len(plan.items)))


async def _ask_one(plan: Plan, backend: Backend, item: Item, tokens: int) -> _Said:
    strategy = plan.strategies[0]
    asked = question(plan.task, plan.labels, strategy, backend, item)
    token_ids, unread, scores, unscored = None, "", None, ""
    try:
        token_ids = backend.render(asked.request).token_ids
    except Unsupported as error:
        unread = str(error)
    greedy = replace(asked.request, sampling=Sampling(max_tokens=tokens))
    completion = await backend.generate(greedy)
    if plan.labels:
        request = asked.request
        if strategy.template.reasoning_tokens:
            request = asked.after(await reason(asked, strategy, backend))
        try:
            scores = await backend.score_labels(request, plan.labels)
        except Unsupported as error:
            unscored = str(error)
    return _Said(token_ids, unread, completion, scores, unscored)


def _side(backend: Backend, items: Sequence[Item], said: Sequence[_Said | RequestError]) -> Side:
    pairs = list(zip(items, said, strict=True))
    answered = [(item.id, s) for item, s in pairs if isinstance(s, _Said)]
    return Side(
        model=backend.spec.name,
        backend=backend.spec.backend,
        fingerprint=backend.fingerprint,
        identity=backend.identity,
        warnings=backend.warnings,
        failures=tuple((item.id, str(s)) for item, s in pairs if isinstance(s, RequestError)),
        unread=tuple((id_, s.unread) for id_, s in answered if s.unread),
        unscored=tuple((id_, s.unscored) for id_, s in answered if s.unscored),
    )


def _piece(backend: Backend, token: int) -> str | None:
    try:
        return backend.piece(token).decode("utf-8", "replace")
    except RequestError:
        return None


# Comparing


def _items(items: Sequence[Item], a: _Asked, b: _Asked) -> Iterator[ItemParity]:
    for item, x, y in zip(items, a.said, b.said, strict=True):
        if isinstance(x, _Said) and isinstance(y, _Said):
            yield _item(item, x, y, (a.pieces, b.pieces))


def _item(
    item: Item,
    a: _Said,
    b: _Said,
    pieces: tuple[Mapping[int, str | None], Mapping[int, str | None]],
) -> ItemParity:
    inputs: Inputs = "unknown"
    parting = None
    if a.token_ids is not None and b.token_ids is not None:
        inputs = "equal" if a.token_ids == b.token_ids else "different"
        if inputs == "different":
            parting = _parting(a.token_ids, b.token_ids, pieces)
    return ItemParity(
        item_id=item.id,
        inputs=inputs,
        input_tokens=(_length(a.token_ids), _length(b.token_ids)),
        parting=parting,
        texts=(a.completion.text, b.completion.text),
        agreeing_tokens=_agreeing(a.completion, b.completion),
        labels=_labels(a.scores, b.scores) if a.scores and b.scores else None,
    )


def _parting(
    a: tuple[int, ...],
    b: tuple[int, ...],
    pieces: tuple[Mapping[int, str | None], Mapping[int, str | None]],
) -> Parting:
    position = common_length(a, b)
    x, y = (ids[position] if position < len(ids) else None for ids in (a, b))
    texts = tuple(
        None if token is None else known[token] for token, known in zip((x, y), pieces, strict=True)
    )
    return Parting(position, (x, y), (texts[0], texts[1]))


def _agreeing(a: Completion, b: Completion) -> int | None:
    # A text without tokens is of a backend that does not tell them.
    if any((done.text and not done.token_ids) or UNTOLD_TOKEN in done.token_ids for done in (a, b)):
        return None
    return common_length(a.token_ids, b.token_ids)


def _labels(a: LabelScores, b: LabelScores) -> LabelParity:
    return LabelParity(
        best=(_best(a), _best(b)),
        exact=(a.exact, b.exact),
        differences=tuple(
            # Two infinities have no difference of their own.
            0.0 if x == y else abs(x - y)
            for x, y in zip(a.logprobs, b.logprobs, strict=True)
        ),
    )


def _best(scores: LabelScores) -> str | None:
    index = scores.logprobs.index(max(scores.logprobs))
    return None if scores.bounds and scores.bounds[index] else scores.labels[index]


def _length(ids: tuple[int, ...] | None) -> int | None:
    return None if ids is None else len(ids)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
