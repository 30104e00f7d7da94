"""The scheduler: one thread that owns the context and runs everybody's steps together.

Each forward pass takes the pending tokens of several jobs, one-token steps first and longer ones
in chunks, so that a long prompt does not stall the others. Where a context cannot mix adapters,
jobs with different ones take turns of a tenth of a second, because a change costs, the one whose
turn is longest ago first. A job keeps its sequence until it ends; what the sequence then holds
stays as a cache for a later prompt with the same beginning.
That none of this changes a byte is measured, not assumed: see `gateway certify`.

A library built with GGML_LLAMAFILE=ON multiplies one row by another kernel than several, so there
the engine is `serial`: one job a pass, and its prompt in pieces whose borders depend on nothing
but the prompt. A result is then again a function of the request alone.

Whatever goes wrong in the engine itself ends every request in it at once, is logged and counted,
and the engine goes on with a new context.
"""

import contextlib
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from gateway.core.errors import BackendError, BackendUnavailable, GatewayError, InvalidRequest
from gateway.core.sequences import common_length
from gateway.core.types import Timings
from gateway.engine.context import OUTPUTS_PER_PASS, Adapter, Context, Logits, PassRow
from gateway.engine.jobs import Answer, Job, Step
from gateway.engine.kept_beginnings import KeptBeginnings
from gateway.engine.prefixes import COPY_WORTH, Prefixes
from gateway.engine.shared_beginnings import SharedBeginnings

logger = logging.getLogger("gateway.engine")

_SHORT = 8
"""Steps of at most this many tokens (a generated token, a label's) go before prompts."""

PROMPT_BESIDE_SHORT = 128
"""Most prompt tokens in a pass that also serves short steps: a generation beside a long prompt
waits for so many tokens at a time, not for the whole of it. For a processor: a card takes more in
hardly more time."""

_TURN_S = 0.1
"""How long passes go on with one adapter while jobs of another wait. A change costs about 6 ms
(SmolLM2 135M, 2 cores), half of a pass over one token."""

_TELLING_ROWS = 32
"""A pass of so many tells what computing a prompt's token takes."""

_TRY_AGAIN_S = 2.0
"""How long after a context was refused the next one is tried, while nobody asks."""

SERIAL_PIECE = 128
"""Tokens of a prompt's piece in a serial engine, or as many as a pass takes where that is less."""


@dataclass(frozen=True, slots=True)
class Done:
    """A finished job: its answer and where its seconds went."""

    answer: Answer
    timings: Timings


@dataclass(slots=True)
class Stats:
    """What the engine has done so far, and where its time went."""

    passes: int = 0
    tokens: int = 0
    """Tokens forwarded; those found in a cache are none."""
    decode_s: float = 0.0
    """Within `llama_decode`."""
    busy_s: float = 0.0
    """With anything to do at all, `decode_s` included."""
    failures: int = 0
    """How often a pass or the engine itself failed."""
    last_failure: str = ""
    down: bool = False
    """Whether it has no context now, because a new one was refused."""


@dataclass(eq=False, slots=True)
class _Task:
    """A submitted job on its way through the engine."""

    job: Job
    prompt: list[int]
    adapter: Adapter | None
    future: "Future[Done]" = field(default_factory=Future)
    submitted: float = field(default_factory=time.perf_counter)
    started: float = 0.0
    cached: int = 0
    sequence: int = -1
    pending: list[int] = field(default_factory=list)
    """Tokens of the current step that no forward pass has taken yet."""
    outputs: int = 0
    """How many of the last pending tokens want logits."""
    reads_prompt: bool = True
    """Whether the pending tokens are the prompt's."""
    returns: bool = False
    """Whether it comes back to where the current step ends."""
    place: int = 0
    """After how many of the prompt's tokens the state is to be kept; 0: nowhere, or done."""
    served: int = 0
    """Number of the last pass that took some of its tokens."""


class Engine:
    """Runs jobs on a context. Public methods may be called from any thread.

    Args:
        context: owned by the engine from now on, closed with it.
        remake: makes a new one when the engine has failed; None: it then stays closed.
        serial: one job a pass; see above.
        prompt_beside_short: most prompt tokens in a pass that also serves short steps.
        kept: beginnings of prompts on disk; None: none are read or written. Closed with it.
        prompts_apart: as for `Prefixes`.
    """

    def __init__(
        self,
        context: Context,
        *,
        remake: Callable[[], Context] | None = None,
        serial: bool = False,
        prompt_beside_short: int = PROMPT_BESIDE_SHORT,
        kept: KeptBeginnings | None = None,
        prompts_apart: bool = False,
    ) -> None:
        self._context = context
        self._prompts_apart = prompts_apart
        self._remake = remake
        self._prompt_beside_short = prompt_beside_short
        self._piece = min(SERIAL_PIECE, context.batch_tokens) if serial else 0
        self._kept = kept
        self._prefixes = self._empty()
        self._beginnings = SharedBeginnings()
        self._prompts_s, self._prompts_tokens = 0.0, 0
        self._inbox: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._waiting: list[_Task] = []
        self._running: list[_Task] = []
        self._owed: set[_Task] = set()
        """All that were taken from the inbox and have no answer yet, wherever they are."""
        self._adapter: Adapter | None = None
        self._turn_ends = 0.0
        self._closed = False
        self._door = threading.Lock()
        """Held while somebody enters or the door is closed, so that nobody enters behind it."""
        self.memory = context.memory
        self.context_length = context.length
        self.stats = Stats()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(
        self, prompt: Sequence[int], job: Job, adapter: Adapter | None = None
    ) -> "Future[Done]":
        """Queue a job whose first step feeds `prompt`. Cancelling the future frees its sequence.

        Raises:
            BackendUnavailable: the engine is closed.
            InvalidRequest: the prompt has no token, so that there is nothing to go on from.
        """
        if not prompt:
            raise InvalidRequest("the prompt is empty: it has no tokens", parameter="prompt")
        task = _Task(job, list(prompt), adapter)
        with self._door:
            if self._closed:
                raise BackendUnavailable("the model is closed")
            self._inbox.put(task)
        return task.future

    def announce(self, beginning: Sequence[int], adapter: Adapter | None = None) -> None:
        """Say that prompts will come which begin so, so that it is kept when it is computed."""
        self._beginnings.announce(beginning, adapter)

    def close(self) -> None:
        """Fail what is unfinished, end the thread, free the context."""
        with self._door:
            self._closed = True
        self._inbox.put(None)
        self._thread.join()
        if self._kept is not None:
            self._kept.close()

    def _run(self) -> None:
        while True:
            try:
                self._loop()
                reason = BackendUnavailable("the model was closed")
                break
            except Exception as error:  # noqa: BLE001 - whatever happens, nobody may wait forever
                reason = self._stopped(error)
                if self._remake is None:
                    break
        with self._door:
            self._closed = True
        while not self._inbox.empty():
            if task := self._inbox.get():
                self._owed.add(task)
        self._fail_all(reason)
        with contextlib.suppress(Exception):  # it may be what failed
            self._context.close()

    def _stopped(self, error: Exception) -> BackendUnavailable:
        """Log and count that the engine failed, and end all requests in it; none is tried again,
        because it may be the one that made it fail."""
        logger.error("the engine stopped and begins anew", exc_info=error)
        self._count(error)
        self.stats.down = self._remake is not None
        reason = BackendUnavailable(f"the engine stopped and begins anew: {error!r}")
        self._fail_all(reason)
        return reason

    def _count(self, failure: Exception) -> None:
        self.stats.failures += 1
        self.stats.last_failure = repr(failure)

    def _fail_all(self, reason: Exception) -> None:
        owed = [*self._owed]
        self._running, self._waiting = [], []
        for task in owed:
            with contextlib.suppress(Exception):  # its own end must not keep others waiting
                task.job.close()
            self._tell(task, reason)

    def _begin_anew(self) -> bool:
        """A new context in place of one in which something failed; False where there is none yet.
        Then those that wait are told why, and the next request tries again."""
        assert self._remake is not None
        with contextlib.suppress(Exception):  # it may be what failed
            self._context.close()
        try:
            self._context = self._remake()
        except Exception as error:  # noqa: BLE001 - memory may be free again later
            logger.warning("no new context: %s", error)
            self._count(error)
            self._fail_all(BackendUnavailable(f"the engine stopped and cannot begin anew: {error}"))
            return False
        self._prefixes = self._empty()
        self._adapter, self._turn_ends = None, 0.0
        self.stats.down = False
        return True

    def _empty(self) -> Prefixes:
        """What the context holds when it is new."""
        # A piece is computed at once; what was generated, token by token.
        piece, apart = self._piece or 1, self._prompts_apart or self._piece > 0
        return Prefixes(self._context, piece, self._kept, prompts_apart=apart)

    def _loop(self) -> None:
        while (self.stats.down and self._begin_anew()) or self._take_submissions():
            begun = time.perf_counter()
            self._drop_cancelled()
            if self.stats.down:
                continue
            self._admit()
            if self._running:
                self._pass()
            self.stats.busy_s += time.perf_counter() - begun

    def _take_submissions(self) -> bool:
        """Collect what was submitted, waiting only when idle; False once closed."""
        idle = not (self._running or self._waiting)
        while True:
            try:
                task = self._inbox.get(idle, _TRY_AGAIN_S if self.stats.down else None)
            except queue.Empty:
                return True
            if task is None:
                return False
            self._owed.add(task)
            self._waiting.append(task)
            idle = False

    def _drop_cancelled(self) -> None:
        gone = {task for task in self._owed if task.future.cancelled()}
        if not gone:
            return
        for task in [task for task in self._running if task in gone]:
            self._leave(task)
        self._waiting = [task for task in self._waiting if task not in gone]
        self._owed -= gone

    def _admit(self) -> None:
        """Give free sequences to waiting jobs, first come first served.

        A job whose beginning is being computed for another one waits until it can copy it, so that
        what many prompts share is computed once also when they come together.
        """
        for task in self._waiting[: 2 * self._context.sequences]:
            if len(self._running) == self._context.sequences:
                return
            if not self._is_coming(task):
                self._waiting.remove(task)
                self._start(task)

    def _is_coming(self, task: _Task) -> bool:
        """Whether a running job will soon hold much more of its prompt than is held now."""
        soon = max(
            (
                self._comes(other, task.prompt)
                for other in self._running
                if other.adapter == task.adapter
                and self._prefixes.length(other.sequence) < len(other.prompt)
            ),
            default=0,
        )
        return soon >= self._prefixes.longest(task.prompt, task.adapter) + COPY_WORTH

    def _comes(self, other: _Task, prompt: list[int]) -> int:
        """How much of a prompt another job will hold, where its sequence can be cut there or its
        state is kept there."""
        common = common_length(other.prompt, prompt)
        if self._context.goes_back:
            return common
        return other.place if other.place <= common else 0

    def _start(self, task: _Task) -> None:
        task.started = time.perf_counter()
        busy = {t.sequence for t in self._running}
        place = self._place(task)
        task.sequence, task.cached = self._prefixes.claim(task.prompt, task.adapter, busy, place)
        task.place = place if self._prefixes.misses(task.prompt, task.adapter, place) else 0
        self._keep_at(task)
        task.served = self.stats.passes
        self._running.append(task)
        self._advance(task, None)

    def _place(self, task: _Task) -> int:
        """After how many of a prompt's tokens other prompts part from it; 0: nothing is kept."""
        if self._kept is None and self._context.goes_back:
            return 0
        place = self._beginnings.place(task.prompt, task.adapter)
        return place // self._piece * self._piece if self._piece else place

    def _keep_at(self, task: _Task) -> None:
        """Keep a job's state where it is to be kept, if it has come there."""
        held = self._prefixes.length(task.sequence)
        if task.place and held >= task.place:
            if held == task.place:
                token_s = self._prompts_s / max(self._prompts_tokens, 1)
                self._prefixes.keep_beginning(task.sequence, token_s)
            task.place = 0

    def _advance(self, task: _Task, logits: Sequence[Logits] | None) -> None:
        """Let a job go on until its next step is known, or settle it."""
        try:
            _check_finite(logits or ())
            step = next(task.job) if logits is None else task.job.send(logits)
            self._begin(task, step, first=logits is None)
        except StopIteration as stop:
            self._settle(task, stop.value)
        except GatewayError as error:
            self._fail(task, error)
        except Exception as error:
            logger.error("a request failed", exc_info=error)
            self._fail(task, BackendError(f"the request failed: {error!r}"))

    def _begin(self, task: _Task, step: Step, *, first: bool) -> None:
        """Make room for a step and note which of its tokens are still to be computed."""
        lost = [] if first else self._prefixes.keep(task.sequence, step.keep)
        task.pending = [*lost, *step.tokens[task.cached if first else 0 :]]
        if not task.pending:
            raise BackendError("a step of the request has no token")
        if not 1 <= step.outputs <= min(len(task.pending), OUTPUTS_PER_PASS):
            raise BackendError(
                f"a step of the request wants the logits of {step.outputs} of its "
                f"{len(task.pending)} tokens; a pass gives those of {OUTPUTS_PER_PASS}"
            )
        task.outputs, task.returns = step.outputs, step.returns
        task.reads_prompt = first

    def _pass(self) -> None:
        """One forward pass over what the running jobs need next."""
        shares = self._shares()
        rows: list[PassRow] = []
        for task, count in shares:
            rows += self._rows(task, count)
        begun = time.perf_counter()
        try:
            logits = self._context.decode(rows)
        except BackendError as error:
            logger.error("a pass failed, and its %d requests with it", len(shares), exc_info=error)
            self._count(error)
            for task, _ in shares:
                self._prefixes.forget(task.sequence)
                self._fail(task, error)
            return
        self.stats.passes += 1
        self.stats.tokens += len(rows)
        took = time.perf_counter() - begun
        self.stats.decode_s += took
        if len(rows) >= _TELLING_ROWS:
            self._prompts_s += took
            self._prompts_tokens += len(rows)
        given = 0
        for task, count in shares:
            task.served = self.stats.passes
            self._prefixes.add(task.sequence, task.pending[:count])
            del task.pending[:count]
            self._keep_at(task)
            if not task.pending:
                mine = logits[given : given + task.outputs]
                given += task.outputs
                if task.returns:
                    self._prefixes.save(task.sequence)
                self._advance(task, mine)

    def _shares(self) -> list[tuple[_Task, int]]:
        """How many tokens of which job this pass takes, in order of sequence.

        One job leads, and those that may share its pass join. Short steps go first, and prompts
        beside them come in pieces, so that generation never waits long for a prompt. A step that
        wants several logits ends in one pass, because the next pass overwrites them.
        """
        lead = self._lead()
        if self._piece:
            return [(lead, self._share(lead, self._piece, OUTPUTS_PER_PASS))]
        mixed = self._context.mixes_adapters
        together = [t for t in self._running if mixed or t.adapter == lead.adapter]
        shares: list[tuple[_Task, int]] = []
        tokens, outputs = self._context.batch_tokens, OUTPUTS_PER_PASS
        any_short = any(len(task.pending) <= _SHORT for task in together)
        of_prompts = self._prompt_beside_short if any_short else tokens
        for task in sorted(together, key=lambda t: (len(t.pending) > _SHORT, t.submitted)):
            is_prompt = len(task.pending) > _SHORT
            by_itself = is_prompt and task.reads_prompt and self._prompts_apart
            room = min(tokens, of_prompts) if is_prompt else tokens
            if by_itself:
                room = _evenly(len(task.pending), room)
            count = self._share(task, room, outputs)
            if count <= 0:
                continue
            if count == len(task.pending):
                outputs -= task.outputs
            tokens -= count
            if is_prompt:
                # One that is computed by itself gains nothing from another one in its pass.
                of_prompts = 0 if by_itself else of_prompts - count
            shares.append((task, count))
        return sorted(shares, key=lambda share: share[0].sequence)

    def _share(self, task: _Task, tokens: int, outputs: int) -> int:
        """How many of a job's pending tokens a pass takes that has room for so many of each; 0 or
        less where none. Those that want logits are not parted, and where a state is to be kept a
        pass ends."""
        until = task.place - self._prefixes.length(task.sequence)
        if 0 < until <= len(task.pending) - task.outputs:
            tokens = min(tokens, until)
        count = min(len(task.pending), tokens)
        if count < len(task.pending) or task.outputs > outputs:
            count = min(count, len(task.pending) - task.outputs)
        return count

    def _lead(self) -> _Task:
        """The job served longest ago, of those with the adapter whose turn it is."""
        now = time.perf_counter()
        mine = [t for t in self._running if t.adapter == self._adapter]
        stays = mine and now < self._turn_ends
        lead = min(mine if stays else self._running, key=lambda t: (t.served, t.submitted))
        if lead.adapter != self._adapter:
            self._adapter, self._turn_ends = lead.adapter, now + _TURN_S
        return lead

    def _rows(self, task: _Task, count: int) -> list[PassRow]:
        start = self._prefixes.length(task.sequence)
        first_output = len(task.pending) - task.outputs
        told = task.adapter, task.reads_prompt
        return [
            PassRow(task.sequence, start + i, task.pending[i], i >= first_output, *told)
            for i in range(count)
        ]

    def _settle(self, task: _Task, answer: Answer) -> None:
        now = time.perf_counter()
        timings = Timings(
            queue_s=task.started - task.submitted,
            prefill_s=answer.prompt_done - task.started,
            decode_s=now - answer.prompt_done,
            cached_tokens=task.cached,
        )
        self._leave(task)
        with contextlib.suppress(InvalidStateError):  # cancelled while it ran
            task.future.set_result(Done(answer, timings))
        self._owed.discard(task)

    def _fail(self, task: _Task, error: Exception) -> None:
        self._leave(task)
        self._tell(task, error)

    def _tell(self, task: _Task, error: Exception) -> None:
        with contextlib.suppress(InvalidStateError):  # cancelled while it ran
            task.future.set_exception(error)
        self._owed.discard(task)

    def _leave(self, task: _Task) -> None:
        task.job.close()
        if task in self._running:
            self._running.remove(task)
            self._prefixes.leave(task.sequence, task.prompt)


def _evenly(tokens: int, most: int) -> int:
    """The size of so few equal pieces as may be, none larger than that; of a short one, a context
    that computes prompts apart may compute as much as of a longer one."""
    pieces = -(-tokens // max(most, 1))
    return min(-(-tokens // pieces), most)


def _check_finite(rows: Sequence[Logits]) -> None:
    """Raise BackendError where a row holds NaN or its largest number is infinite: greedy decoding
    would take the first such for the likeliest token."""
    if not all(math.isfinite(row.max()) for row in rows):
        raise BackendError(
            "the model computes numbers that are not finite (NaN or infinite)",
            hint="its weights or its adapter's hold such numbers, or its dtype is too narrow for "
            'them: dtype = "float32" in an entry of torch',
        )
