"""The scheduler: one thread that owns the context and runs everybody's steps together.

Each forward pass takes the pending tokens of several jobs, one-token steps first and longer ones
in chunks, so that a long prompt does not stall the others. A job keeps its sequence until it
ends; what the sequence then holds stays as a cache for a later prompt with the same beginning.
That none of this changes a byte is measured, not assumed: see `gateway certify`.
"""

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from gateway.backends.llama_cpp.context import OUTPUTS_PER_PASS, Context, Logits, Row
from gateway.backends.llama_cpp.jobs import Answer, Job, Step
from gateway.errors import BackendError, BackendUnavailable, GatewayError
from gateway.types import Timings

_COPY_WORTH = 64
"""Copying another sequence's memory pays when it saves at least this many tokens."""

_SHORT = 8
"""Steps of at most this many tokens (a generated token, a label's) go before prompts."""

_PROMPT_BESIDE_SHORT = 128
"""Most prompt tokens in a pass that also serves short steps: a generation beside a long prompt
waits for so many tokens at a time, not for the whole of it."""


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


@dataclass(eq=False, slots=True)
class _Task:
    """A submitted job on its way through the engine."""

    job: Job
    prompt: Sequence[int]
    future: "Future[Done]" = field(default_factory=Future)
    submitted: float = field(default_factory=time.perf_counter)
    started: float = 0.0
    cached: int = 0
    sequence: int = -1
    pending: list[int] = field(default_factory=list)
    """Tokens of the current step that no forward pass has taken yet."""
    outputs: int = 0
    """How many of the last pending tokens want logits."""


class Engine:
    """Runs jobs on a context. Public methods may be called from any thread.

    Args:
        context: owned by the engine from now on, closed with it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._inbox: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._waiting: list[_Task] = []
        self._running: list[_Task] = []
        self._held: list[list[int]] = [[] for _ in range(context.sequences)]
        self._last_used = [0] * context.sequences
        self._clock = itertools.count(1)
        self._closed = False
        self.stats = Stats()
        self._thread = threading.Thread(target=self._run, name="llama-engine", daemon=True)
        self._thread.start()

    def submit(self, prompt: Sequence[int], job: Job) -> "Future[Done]":
        """Queue a job whose first step feeds `prompt`. Cancelling the future frees its sequence.

        Raises:
            BackendUnavailable: the engine is closed.
        """
        if self._closed:
            raise BackendUnavailable("the model is closed")
        task = _Task(job, prompt)
        self._inbox.put(task)
        return task.future

    def close(self) -> None:
        """Fail what is unfinished, end the thread, free the context."""
        if not self._closed:
            self._closed = True
            self._inbox.put(None)
            self._thread.join()

    def _run(self) -> None:
        while self._take_submissions():
            begun = time.perf_counter()
            self._drop_cancelled()
            self._admit()
            if self._running:
                self._pass()
            self.stats.busy_s += time.perf_counter() - begun
        for task in self._running + self._waiting:
            self._fail(task, BackendUnavailable("the model was closed"))
        self._context.close()

    def _take_submissions(self) -> bool:
        """Collect what was submitted, waiting only when idle; False once closed."""
        idle = not (self._running or self._waiting)
        while True:
            try:
                task = self._inbox.get(block=idle)
            except queue.Empty:
                return True
            if task is None:
                return False
            self._waiting.append(task)
            idle = False

    def _drop_cancelled(self) -> None:
        for task in self._running:
            if task.future.cancelled():
                task.job.close()
        self._running = [t for t in self._running if not t.future.cancelled()]
        self._waiting = [t for t in self._waiting if not t.future.cancelled()]

    def _admit(self) -> None:
        """Give free sequences to waiting jobs, first come first served."""
        while self._waiting and len(self._running) < self._context.sequences:
            task = self._waiting.pop(0)
            task.started = time.perf_counter()
            task.sequence = self._sequence_for(task.prompt)
            self._running.append(task)
            self._advance(task, None)

    def _sequence_for(self, prompt: Sequence[int]) -> int:
        """The free sequence that holds most of the prompt's beginning, oldest among equals.

        When a busy sequence holds much more of it, its memory is copied.
        """
        busy = {t.sequence for t in self._running}
        free = [s for s in range(self._context.sequences) if s not in busy]
        shared = {s: _common(held, prompt) for s, held in enumerate(self._held)}
        chosen = max(free, key=lambda s: (shared[s], -self._last_used[s]))
        best = max(shared, key=lambda s: shared[s])
        if shared[best] >= shared[chosen] + _COPY_WORTH:
            chosen = min(free, key=lambda s: self._last_used[s])
            self._context.copy(best, chosen)
            self._held[chosen] = list(self._held[best])
        self._last_used[chosen] = next(self._clock)
        return chosen

    def _advance(self, task: _Task, logits: Sequence[Logits] | None) -> None:
        """Let a job go on until its next step is known, or settle it."""
        try:
            step = next(task.job) if logits is None else task.job.send(logits)
            self._begin(task, step, first=logits is None)
        except StopIteration as stop:
            self._settle(task, stop.value)
        except GatewayError as error:
            self._fail(task, error)
        except Exception as error:  # noqa: BLE001 - the engine survives every failed request
            self._fail(task, BackendError(f"the request failed: {error!r}"))

    def _begin(self, task: _Task, step: Step, *, first: bool) -> None:
        """Make room for a step and note which of its tokens are still to be computed."""
        held = self._held[task.sequence]
        keep = step.keep
        fresh = list(step.tokens)
        if first:
            reused = min(_common(held, fresh), len(fresh) - step.outputs)
            task.cached = keep = reused
            fresh = fresh[reused:]
        if keep < len(held):
            if not self._context.truncate(task.sequence, keep):
                # A recurrent memory can not go back: compute the beginning again.
                self._context.truncate(task.sequence, 0)
                fresh = held[:keep] + fresh
                task.cached = keep = 0
            del held[keep:]
        task.pending = fresh
        task.outputs = step.outputs

    def _pass(self) -> None:
        """One forward pass over what the running jobs need next."""
        shares = self._shares()
        rows: list[Row] = []
        for task, count in shares:
            rows += self._rows(task, count)
        begun = time.perf_counter()
        try:
            logits = self._context.decode(rows)
        except BackendError as error:
            for task, _ in shares:
                self._context.truncate(task.sequence, 0)
                self._held[task.sequence].clear()
                self._fail(task, error)
            return
        self.stats.passes += 1
        self.stats.tokens += len(rows)
        self.stats.decode_s += time.perf_counter() - begun
        given = 0
        for task, count in shares:
            self._held[task.sequence] += task.pending[:count]
            del task.pending[:count]
            if not task.pending:
                mine = logits[given : given + task.outputs]
                given += task.outputs
                self._advance(task, mine)

    def _shares(self) -> list[tuple[_Task, int]]:
        """How many tokens of which job this pass takes, in order of sequence.

        Short steps go first, and prompts beside them come in pieces, so that generation never
        waits long for a prompt. A step that wants several logits ends in one pass, because the
        next pass overwrites them.
        """
        shares: list[tuple[_Task, int]] = []
        tokens, outputs = self._context.batch_tokens, OUTPUTS_PER_PASS
        any_short = any(len(task.pending) <= _SHORT for task in self._running)
        of_prompts = _PROMPT_BESIDE_SHORT if any_short else tokens
        for task in sorted(self._running, key=lambda t: (len(t.pending) > _SHORT, t.submitted)):
            is_prompt = len(task.pending) > _SHORT
            count = min(len(task.pending), tokens, of_prompts if is_prompt else tokens)
            if count < len(task.pending):
                count = min(count, len(task.pending) - task.outputs)
            elif task.outputs > outputs:
                count = len(task.pending) - task.outputs
            if count <= 0:
                continue
            if count == len(task.pending):
                outputs -= task.outputs
            tokens -= count
            of_prompts -= count if is_prompt else 0
            shares.append((task, count))
        return sorted(shares, key=lambda share: share[0].sequence)

    def _rows(self, task: _Task, count: int) -> list[Row]:
        start = len(self._held[task.sequence])
        first_output = len(task.pending) - task.outputs
        return [
            Row(task.sequence, start + i, task.pending[i], i >= first_output) for i in range(count)
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

    def _fail(self, task: _Task, error: Exception) -> None:
        self._leave(task)
        with contextlib.suppress(InvalidStateError):  # cancelled while it ran
            task.future.set_exception(error)

    def _leave(self, task: _Task) -> None:
        task.job.close()
        if task in self._running:
            self._running.remove(task)


def _common(held: Sequence[int], prompt: Sequence[int]) -> int:
    """Length of the common beginning."""
    for i, (a, b) in enumerate(zip(held, prompt, strict=False)):
        if a != b:
            return i
    return min(len(held), len(prompt))
