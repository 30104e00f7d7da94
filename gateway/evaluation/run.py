"""The one loop: items x cells -> answers in the store, resumable.

A cell is a model read by a strategy. What it says to an item is stored under the identities of
both; rules that turn label scores into answers come later and cost no forward pass.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace

from gateway.backends.pool import ModelPool
from gateway.backends.protocol import (
    Backend,
    OwnLabels,
    OwnPrompt,
    ReadsGroups,
    SearchesLabels,
    thought_of,
)
from gateway.core.concurrency import for_each
from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError, ContextOverflow, RequestError, Unsupported
from gateway.core.lists import first_names, part_of, plural
from gateway.core.types import (
    Completion,
    Constraint,
    GenerationRequest,
    LabelSearch,
    Sampling,
    Searching,
)
from gateway.evaluation.calibration import is_enough, sizes
from gateway.evaluation.label_search import is_searched, search_for, searched, take_whole
from gateway.evaluation.probe import check_prompt
from gateway.evaluation.reading import UNCLOSED, begins_a_line, read, read_again
from gateway.evaluation.record import answer_key
from gateway.evaluation.store import Observation, Store
from gateway.models.families.thoughts import ON, ThoughtTags
from gateway.models.file import Models
from gateway.models.spec import ModelSpec
from gateway.scoring.results import Status
from gateway.scoring.rules import ScoreRule
from gateway.tasks.exemplars import Exemplar, ExemplarSelector
from gateway.tasks.parsing import READING, answer_schema
from gateway.tasks.prompts import PromptTemplate, RenderedPrompt
from gateway.tasks.task import Item, Task

CONTENT_FREE = ("N/A", "", "[MASK]")
"""The content-free inputs of Zhao et al. 2021, section 5."""

_PROBES = 8
"""Items of which one must be renderable."""

NUMBER_PATTERN = r"[0-9]{1,6}(\.[0-9]{1,3})?"


@dataclass(frozen=True, slots=True)
class Strategy:
    """A prompt template with the exemplars it is shown with."""

    template: PromptTemplate
    selector: ExemplarSelector | None = None

    @property
    def name(self) -> str:
        return self.template.strategy


@dataclass(frozen=True, slots=True)
class OwnThought:
    """The thought that a reasoning model writes by itself, in which it does its reasoning."""

    tags: ThoughtTags
    budget: int
    """Its most tokens, behind which it is closed."""

    def closed(self, thought: Completion) -> str:
        """The thought within its tags."""
        text = thought.reasoning.text if thought.reasoning else thought.text.strip()
        return f"{self.tags.opening}{text}{self.tags.closing}"


@dataclass(frozen=True, slots=True)
class Question:
    """What a strategy asks of one item, before the model has said anything."""

    request: GenerationRequest
    """As the model reads it first: with the beginning of the answer, or, where the strategy lets
    the model reason, without."""
    prompt: RenderedPrompt
    exemplars: tuple[Exemplar, ...]
    own: OwnThought | None = None
    """Where the model reasons in a thought of its own."""

    def after(self, thought: Completion) -> GenerationRequest:
        """The request for the answer, after what the model thought."""
        start = self.before_answer(thought)
        start += self.prompt.answer_start.lstrip() if self.own else self.prompt.answer_start
        return replace(self.request, answer_start=start, thinks_first=False)

    def before_answer(self, thought: Completion) -> str:
        """What stands between the prompt and the answer: the thought, as it is closed."""
        return self.own.closed(thought) if self.own else thought.text.rstrip()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run asks."""

    task: Task
    labels: tuple[str, ...]
    models: tuple[str, ...]
    strategies: tuple[Strategy, ...]
    rules: tuple[ScoreRule, ...]
    items: tuple[Item, ...]
    dev: tuple[Item, ...] = ()
    """Items of the training data on which batch calibration is fitted; none is in `items`."""
    dev_tolerance: float | None = None
    """Of `dev` so many are asked, in their order, that more would hardly change an answer: see
    `gateway.evaluation.calibration`. None: all are asked."""
    label_search: Searching = "auto"
    """As `ModelSpec.label_search`, of the whole run."""
    tell: Callable[[str], None] = field(default=lambda _: None, repr=False, compare=False)
    """Told what the store made of the question."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A model and a strategy, identified."""

    model: str
    strategy: str
    digest: str
    """Of everything that may change an answer, the item apart."""
    mode: str
    fingerprint: str
    identity: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    calibration: str = ""
    """The digest under which what its rules are fitted on is kept; empty: the cell's own."""
    dev: tuple[str, ...] = ()
    """Digests of the items that batch calibration is fitted on; empty: of all of the plan."""
    by_group: bool = False
    """Whether it says something else to the same text of another group: see `answer_key`."""

    @property
    def name(self) -> str:
        return f"{self.model}/{self.strategy}"

    def key(self, item: Item) -> str:
        """Under which its answer to an item is kept."""
        return answer_key(item, by_group=self.by_group)


@dataclass(frozen=True, slots=True)
class Progress:
    """What just happened, for whoever draws it."""

    cell: Cell
    item: Item
    observation: Observation | None
    """None: the answer was in the store already."""
    purpose: str
    """"test", "dev" or "content-free"; "again" of what is asked a second time and not kept;
    "not needed" of what a rule would have been fitted on."""


OnProgress = Callable[[Progress], None]
Watch = Callable[[Plan], AbstractContextManager[OnProgress]]
"""Who watches a plan being asked: a block that gives what is told of each answer."""


def unwatched(_: Plan) -> AbstractContextManager[OnProgress]:
    """Nobody does."""
    return nullcontext(lambda _: None)


async def ask(plan: Plan, models: Models, store: Store, watch: Watch = unwatched) -> list[Cell]:
    """`run` with a pool of its own, whose models have no sequences that no question is for."""
    most = len(plan.items) + len(calibration_items(plan, "score"))
    async with ModelPool(models.at_most(most)) as pool:
        with watch(plan) as on_progress:
            return await run(plan, pool, store, on_progress)


async def run(plan: Plan, pool: ModelPool, store: Store, on_progress: OnProgress) -> list[Cell]:
    """Ask every cell of the grid what the store does not know yet.

    Each answer is committed as it comes. A request that fails is committed as failed, and asked
    again by the next run; an error of the model itself ends the run.

    Raises:
        ConfigError, BackendError, StoreError: as their names say.
    """
    pool.check(plan.models)
    cells = []
    for model in plan.models:
        async with pool.lease(model) as backend:
            strategies = _known_to(backend, plan)
            for strategy in strategies:
                _check_prompt(plan, strategy, backend)
            for strategy in strategies:
                asking = _Asking(plan, strategy, backend, store, on_progress)
                cells.append(await _run_cell(asking))
    return cells


def _known_to(backend: Backend, plan: Plan) -> tuple[Strategy, ...]:
    """The strategies that a model can answer: one that has learned a template knows no other.

    Raises:
        ConfigError: there is none.
    """
    if not isinstance(backend, OwnPrompt):
        return plan.strategies
    name = backend.spec.name
    known = tuple(each for each in plan.strategies if _is_known(backend, plan, each))
    others = [each.name for each in plan.strategies if each not in known]
    if not known:
        raise ConfigError(
            f"{name} has learned one prompt, and it is not {first_names(others)}",
            hint=f"gateway adapters show {name.partition('+')[2]} names it",
        )
    if others:
        plan.tell(f"{name} is not asked by {first_names(others)}, which it has not learned")
    return known


def _is_known(backend: Backend, plan: Plan, strategy: Strategy) -> bool:
    """By the first item that can be rendered; where none can be, each says why."""
    mode = "score" if isinstance(backend, OwnLabels) else "generate"
    if strategy.template.mode != mode or strategy.template.reasoning_tokens:
        return False
    assert isinstance(backend, OwnPrompt)
    for item in plan.items[:_PROBES]:
        try:
            asked = question(plan.task, plan.labels, strategy, backend, item)
            return backend.knows(asked.request)
        except RequestError:
            continue
    return True


def _check_prompt(plan: Plan, strategy: Strategy, backend: Backend) -> None:
    """Raises:
    ConfigError: the model would not be shown what the strategy has written.
    """
    problem: RequestError | None = None
    for item in plan.items[:_PROBES]:
        try:
            asked = question(plan.task, plan.labels, strategy, backend, item)
            check_prompt(asked.request, strategy.template, backend)
        except RequestError as exc:
            problem = problem or exc
        else:
            return
    if problem is not None:
        name = f"{backend.spec.name}/{strategy.name}"
        raise ConfigError(f"{name}: {problem.message}", hint=problem.hint) from problem


def identify(plan: Plan, strategy: Strategy, backend: Backend) -> Cell:
    """The cell's identity: what may change an answer, from weights to exemplars."""
    return Cell(
        model=backend.spec.name,
        strategy=strategy.name,
        digest=_digest(plan, strategy, backend, READING),
        mode=strategy.template.mode,
        fingerprint=backend.fingerprint,
        identity=backend.identity,
        warnings=(*backend.warnings, *_merges(strategy, backend), *_heads(plan, backend)),
        by_group=_reads_groups(backend),
    )


def _reads_groups(backend: Backend) -> bool:
    return isinstance(backend, ReadsGroups) and bool(backend.groups)


def _heads(plan: Plan, backend: Backend) -> Iterator[str]:
    """Which items of the plan a model with a head for each of some groups answers without one."""
    if not isinstance(backend, ReadsGroups) or not backend.groups:
        return
    column, name = backend.groups_of, backend.spec.name
    others = [item.group for item in plan.items if item.group not in backend.groups]
    if not any(item.group for item in plan.items):
        yield f"{name}: it has heads by {column}, and nobody says the {column} (--per {column})"
    elif others:
        yield (
            f"{name}: {part_of(len(others), len(plan.items), 'item', 'is', 'are')} of no {column} "
            f"that it has a head for ({first_names(set(others))}); the probe of all answers them"
        )


def _merges(strategy: Strategy, backend: Backend) -> Iterator[str]:
    """That the model reads system text in another place, where nobody has asked for that."""
    merged = backend.identity.get("system") == "merged" and backend.spec.system == "auto"
    if merged and strategy.template.has_system:
        yield (
            f"{backend.spec.name}: its chat template shows no system message; what the strategy "
            "says as one stands in the user's turn (system in models.toml)"
        )


def _digest(plan: Plan, strategy: Strategy, backend: Backend, reading: int) -> str:
    """Where answers are written, the grammar that reads them is a part of it. The first grammar
    was none."""
    template = strategy.template
    made_by: dict[str, object] = {
        "task": plan.task.digest,
        "labels": list(plan.labels),
        "template": template.digest,
        "exemplars": strategy.selector.digest if strategy.selector else "",
        "model": backend.fingerprint,
    }
    if template.mode != "score" and reading > 1:
        made_by["reading"] = reading
    if (own := own_thought(strategy, backend)) is not None:
        made_by["thought"] = asdict(own)
    return digest_json(made_by)


def _take_over(plan: Plan, strategy: Strategy, cell: Cell, backend: Backend, store: Store) -> None:
    """Read again what an earlier grammar has read, so that no cell mixes two of them. What the
    store does not say enough of is asked again."""
    wanted = {item.digest: item for item in plan.items}
    finished = store.finished(cell.digest)
    took: list[bool] = []
    for reading in range(READING - 1, 0, -1) if cell.mode != "score" else ():
        earlier = _digest(plan, strategy, backend, reading)
        seconds = store.timings(earlier)
        for digest, known in store.answers(earlier).items():
            if digest not in wanted or digest in finished:
                continue
            asked = question(plan.task, plan.labels, strategy, backend, wanted[digest])
            start = asked.request.answer_start
            again = read_again(known, start, strategy.template, plan.task, plan.labels)
            if again is not None:
                store.put(cell.digest, digest, again, *seconds[digest][:2])
                took.append(again.answer != known.answer)
    if took:
        plan.tell(
            f"{cell.name}: {plural(len(took), 'stored answer')} read again, since answers are "
            f"read otherwise now; {sum(took)} of them otherwise than before"
        )


def _take_whole(plan: Plan, cell: Cell, store: Store) -> None:
    """Answers of a run that finished all labels answer one that searches them."""
    items = map(cell.key, plan.items)
    if took := take_whole(store, cell.calibration, cell.digest, items):
        plan.tell(
            f"{cell.name}: {plural(took, 'stored answer')} with all labels finished, taken as "
            "they are"
        )


def calibration_items(plan: Plan, mode: str) -> list[tuple[Item, str]]:
    """What a cell must be asked besides the test items, for the rules of the plan."""
    if mode != "score":
        return []
    asked = []
    if ScoreRule.BATCH in plan.rules:
        asked += [(item, "dev") for item in plan.dev]
    if ScoreRule.CONTEXTUAL in plan.rules:
        asked += [(item, "content-free") for item in content_free_items(plan.task)]
    return asked


def content_free_items(task: Task) -> list[Item]:
    """Inputs that say nothing, one for each text of `CONTENT_FREE`."""
    made = []
    for text in CONTENT_FREE:
        fields = dict.fromkeys(task.fields, text)
        digest = digest_json({"content_free": fields})
        made.append(Item(f"content-free:{text}", fields, None, None, digest))
    return made


async def _run_cell(asking: "_Asking") -> Cell:
    """Ask what the rules are fitted on, then the items; the cell, with what became of the first."""
    plan, cell = asking.plan, asking.cell
    _take_over(plan, asking.strategy, cell, asking.backend, asking.store)
    cell = await _calibrate(asking)
    search = None
    if is_searched(plan.labels, cell.mode, asking.backend, plan.label_search):
        search = search_for(
            plan.rules, plan.labels, asking.known, free=free_of(plan), dev=dev_of(plan, cell)
        )
        cell = replace(cell, digest=searched(cell.digest, search), calibration=cell.digest)
        _take_whole(plan, cell, asking.store)
    await asking.ask(cell.digest, plan.items, "test", search)
    return cell


async def _calibrate(asking: "_Asking") -> Cell:
    """Ask what the cell's rules are fitted on; the cell, with the items that were enough."""
    plan, cell = asking.plan, asking.cell
    wanted = calibration_items(plan, cell.mode)
    free = [item for item, purpose in wanted if purpose == "content-free"]
    dev = [item for item, purpose in wanted if purpose == "dev"]
    await asking.ask(cell.digest, free, "content-free")
    if plan.dev_tolerance is None or not dev:
        await asking.ask(cell.digest, dev, "dev")
        return replace(cell, dev=tuple(map(cell.key, dev))) if cell.by_group else cell
    shown = set(asking.strategy.selector.ids) if asking.strategy.selector else set()
    kept = [item for item in dev if item.id not in shown]
    enough = len(kept)
    for count in sizes(len(kept)):
        await asking.ask(cell.digest, kept[:count], "dev")
        fitted_on = [cell.key(item) for item in kept[:count]]
        if is_enough(fitted_on, plan.labels, asking.known, plan.dev_tolerance):
            enough = count
            break
    used = tuple(cell.key(item) for item in kept[:enough])
    for item in dev:
        if cell.key(item) not in used:
            asking.on_progress(Progress(cell, item, None, "not needed"))
    return replace(cell, dev=used)


def free_of(plan: Plan) -> tuple[str, ...]:
    """Digests of the content-free inputs."""
    return tuple(item.digest for item in content_free_items(plan.task))


def dev_of(plan: Plan, cell: Cell) -> tuple[str, ...]:
    """Digests of the items that a cell's batch calibration is fitted on."""
    return cell.dev or tuple(item.digest for item in plan.dev)


class _Asking:
    """One cell being asked."""

    def __init__(
        self,
        plan: Plan,
        strategy: Strategy,
        backend: Backend,
        store: Store,
        on_progress: OnProgress,
    ) -> None:
        self.plan, self.strategy, self.backend = plan, strategy, backend
        self.store, self.on_progress = store, on_progress
        self.cell = identify(plan, strategy, backend)
        self._announced = False
        self._same: dict[str, asyncio.Task[Observation]] = {}
        """Digest of what was asked -> what is said to it."""
        self._last = time.perf_counter()

    @property
    def known(self) -> Mapping[str, Observation]:
        """All that the store has under the cell's own digest."""
        return self.store.answers(self.cell.digest)

    async def ask(
        self,
        digest: str,
        items: Sequence[Item],
        purpose: str,
        search: LabelSearch | None = None,
    ) -> None:
        """Put what the cell says to items into the store, under a digest."""
        finished = self.store.finished(digest)
        todo: dict[str, Item] = {}
        for item in items:
            key = self.cell.key(item)
            if key in finished or key in todo:
                self.on_progress(Progress(self.cell, item, None, purpose))
            else:
                todo[key] = item
        self._announce(list(todo.values())[:_PROBES])
        self._last = time.perf_counter()

        async def ask_one(item: Item) -> None:
            start = time.perf_counter()
            observation = await self._answer(item, search)
            now = time.perf_counter()
            self.store.put(digest, self.cell.key(item), observation, now - start, now - self._last)
            self._last = now
            self.on_progress(Progress(self.cell, item, observation, purpose))

        limit = min(self.backend.concurrency, len(todo))
        await for_each(todo.values(), ask_one, limit=limit)

    def _announce(self, items: Sequence[Item]) -> None:
        """Say once that requests like those about these items will come."""
        # It loads what renders chat templates, which most that import this do not need.
        from gateway.engine.in_process import EngineBackend

        if items and not self._announced and isinstance(self.backend, EngineBackend):
            self._announced = True
            self.backend.announce(_alike(self.plan, self.strategy, self.backend, items))

    async def _answer(self, item: Item, search: LabelSearch | None) -> Observation:
        """What the cell says to an item. Where the model says the same to the same whenever it is
        asked, items that are equal once they are rendered are asked once."""
        plan, backend = self.plan, self.backend
        asked = question(plan.task, plan.labels, self.strategy, backend, item)
        if not _repeats(backend.spec):
            return await self._say(asked, search)
        key = digest_json([asdict(asked.request), search is None])
        if key not in self._same:
            self._same[key] = asyncio.ensure_future(self._say(asked, search))
            return await self._same[key]
        known = await self._same[key]
        if known.status is Status.FAILED:
            return await self._say(asked, search)
        about = _unanswered(asked, backend)
        return replace(
            known,
            shortened=about.shortened,
            exemplars=about.exemplars,
            cached_tokens=known.tokens_evaluated,
        )

    async def _say(self, asked: Question, search: LabelSearch | None) -> Observation:
        # It loads what renders chat templates, which most that import this do not need.
        from gateway.engine.in_process import EngineBackend

        plan = self.plan
        said = await answer_to(asked, plan.task, plan.labels, self.strategy, self.backend, search)
        if isinstance(self.backend, EngineBackend):
            return said
        # Another server does not say what it had in memory.
        return replace(said, cached_tokens=None)


def _repeats(spec: ModelSpec) -> bool:
    """Whether the same request gives the same bytes."""
    return spec.deterministic == "bitwise" and not spec.can.on_a_server


def _alike(
    plan: Plan, strategy: Strategy, backend: Backend, items: Sequence[Item]
) -> list[GenerationRequest]:
    """What is asked about some items, and about texts that say nothing: what stands before the
    item's own text is what all of them begin with."""
    found = []
    for item in (*items, *content_free_items(plan.task)):
        # One that cannot be asked gets its status when it is.
        with suppress(RequestError):
            found.append(question(plan.task, plan.labels, strategy, backend, item).request)
    return found


async def answer(
    task: Task, labels: Sequence[str], strategy: Strategy, backend: Backend, item: Item
) -> Observation:
    """What one cell says to one item. A request that cannot be answered gets a status."""
    asked = question(task, labels, strategy, backend, item)
    return await answer_to(asked, task, labels, strategy, backend)


async def answer_to(
    asked: Question,
    task: Task,
    labels: Sequence[str],
    strategy: Strategy,
    backend: Backend,
    search: LabelSearch | None = None,
) -> Observation:
    """What one cell says to one question. A request that cannot be answered gets a status.

    Args:
        search: which labels need not be finished; None: all are.
    """
    request, known = asked.request, _unanswered(asked, backend)
    try:
        if strategy.template.reasoning_tokens:
            thought = await reason(asked, strategy, backend)
            request, known = asked.after(thought), _reasoned(known, thought, asked)
            if thought.answer is None and not asked.own:
                return replace(known, status=Status.TRUNCATED, reason=UNCLOSED)
        known = replace(known, prompt_digest=_prompt_digest(backend, request))
        if strategy.template.mode == "score":
            return await _score(request, known, labels, backend, search)
        return await _write(request, known, task, labels, strategy.template, asked.prompt, backend)
    except ContextOverflow as error:
        return replace(known, status=Status.TRUNCATED, reason=str(error))
    except RequestError as error:
        return replace(known, status=Status.FAILED, reason=str(error))


def _unanswered(asked: Question, backend: Backend) -> Observation:
    return Observation(
        Status.FAILED,
        shortened=dict(asked.prompt.shortened),
        exemplars=tuple(e.item_id for e in asked.exemplars),
        fingerprint=backend.fingerprint,
    )


def question(
    task: Task, labels: Sequence[str], strategy: Strategy, backend: Backend, item: Item
) -> Question:
    """A strategy's question about an item, as this backend is asked it.

    Raises:
        ConfigError: the template fails.
        RequestError: the backend cannot read the item's texts.
    """
    exemplars = strategy.selector.select(item) if strategy.selector else ()
    prompt = strategy.template.render(task, labels, item.fields, exemplars, backend)
    # A model that reasons first begins its answer after its reasoning.
    start = "" if strategy.template.reasoning_tokens else prompt.answer_start
    group = item.group if _reads_groups(backend) else ""
    request = GenerationRequest(backend.spec.name, prompt.messages, answer_start=start, group=group)
    own = own_thought(strategy, backend)
    if own is not None:
        request = replace(request, thinks_first=True, reasoning=backend.spec.reasoning or ON)
    return Question(request, prompt, exemplars, own)


def own_thought(strategy: Strategy, backend: Backend) -> OwnThought | None:
    """The model's own thought, where a strategy lets it reason; None: it writes none, and reasons
    in the text of its answer."""
    tokens = strategy.template.reasoning_tokens
    tags = thought_of(backend) if tokens else None
    return None if tags is None else OwnThought(tags, backend.spec.thinking_budget or tokens)


async def reason(asked: Question, strategy: Strategy, backend: Backend) -> Completion:
    """Let the model think up to the budget. Raises as `Backend.generate`."""
    template, own = strategy.template, asked.own
    # A thought of the model's own ends with its tag.
    stop = template.reasoning_stop if own is None else (own.tags.first,)
    most = template.reasoning_tokens if own is None else own.budget
    sampling = Sampling(max_tokens=most, stop=stop)
    return await backend.generate(replace(asked.request, sampling=sampling))


def _reasoned(known: Observation, thought: Completion, asked: Question) -> Observation:
    cut = thought.finish_reason == "length" and not (asked.own and thought.answer is not None)
    return replace(
        known,
        text=asked.before_answer(thought) if asked.own else thought.text,
        reasoning_cut=cut,
        thought_cut=cut and asked.own is not None,
        prompt_tokens=thought.usage.prompt_tokens,
        completion_tokens=thought.usage.completion_tokens,
        tokens_evaluated=thought.usage.prompt_tokens + thought.usage.completion_tokens,
        retries=thought.timings.retries,
        cached_tokens=thought.timings.cached_tokens,
    )


async def _score(
    request: GenerationRequest,
    known: Observation,
    labels: Sequence[str],
    backend: Backend,
    search: LabelSearch | None,
) -> Observation:
    if search is not None and isinstance(backend, SearchesLabels):
        scores = await backend.search_labels(request, labels, search)
    else:
        scores = await backend.score_labels(request, labels)
    reasoned = known.completion_tokens > 0
    return replace(
        known,
        status=Status.OK,
        labels=scores.labels,
        logprobs=scores.logprobs,
        token_counts=scores.token_counts,
        byte_counts=scores.byte_counts,
        exact=scores.exact,
        bounds=scores.bounds,
        unfinished=scores.unfinished,
        ending=scores.ending,
        prompt_tokens=known.prompt_tokens if reasoned else scores.prompt_tokens,
        tokens_evaluated=known.tokens_evaluated + scores.tokens_evaluated,
        retries=known.retries + scores.timings.retries,
        cached_tokens=(known.cached_tokens or 0) + scores.timings.cached_tokens,
    )


async def _write(
    request: GenerationRequest,
    known: Observation,
    task: Task,
    labels: Sequence[str],
    template: PromptTemplate,
    prompt: RenderedPrompt,
    backend: Backend,
) -> Observation:
    sampling = Sampling(max_tokens=template.max_tokens)
    request = replace(request, sampling=sampling)
    if template.mode == "constrained":
        request = _constrained(request, task, labels)
    done = await backend.generate(request)
    known = replace(
        known,
        text=f"{known.text}{prompt.answer_start}{done.text}" if known.text else done.text,
        prompt_tokens=known.prompt_tokens or done.usage.prompt_tokens,
        completion_tokens=known.completion_tokens + done.usage.completion_tokens,
        tokens_evaluated=known.tokens_evaluated
        + done.usage.prompt_tokens
        + done.usage.completion_tokens,
        retries=known.retries + done.timings.retries,
        cached_tokens=(known.cached_tokens or 0) + done.timings.cached_tokens,
    )
    if done.answer is None:
        return replace(known, status=Status.TRUNCATED, reason=UNCLOSED)
    begun, cut = begins_a_line(request.answer_start), done.finish_reason == "length"
    return read(replace(known, said=done.answer, cut=cut, begun=begun), task, labels)


def _constrained(
    request: GenerationRequest, task: Task, labels: Sequence[str]
) -> GenerationRequest:
    """Let only an answer out. A space before it belongs to the answer's first token, so it moves
    from the end of the prompt into the choices."""
    if task.kind == "extraction":
        return replace(request, constraint=Constraint("json_schema", answer_schema(task)))
    start = request.answer_start.rstrip(" ")
    space = " " if start != request.answer_start else ""
    if task.kind == "number":
        constraint = Constraint("regex", space + NUMBER_PATTERN)
    else:
        constraint = Constraint("choices", tuple(space + label for label in labels))
    return replace(request, answer_start=start, constraint=constraint)


def _prompt_digest(backend: Backend, request: GenerationRequest) -> str:
    """Of the very tokens that the model reads, or, where only a server knows them, of what it is
    sent; how the server renders that is part of the cell's identity."""
    try:
        return digest_json(list(backend.render(request).token_ids))
    except Unsupported:
        sent = [(message.role, message.content) for message in request.messages]
        return digest_json({"sent": sent, "answer_start": request.answer_start})
