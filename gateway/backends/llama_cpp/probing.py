"""How fast each way of computing a file is, and whether its bytes ever change: in a child process.

The library takes one kernel for K-quants as long as a process lives, and where a processor's
repacked kernels are broken they end it. So candidates are run in a child, which answers lines of
JSON; where one ends it, another child goes on with the rest.

    python -m gateway.backends.llama_cpp.probing FILE KERNELS ROWS THREADS LENGTH [ADAPTER]
"""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from gateway.backends.llama_cpp.adapter import Adapter
from gateway.backends.llama_cpp.context import Context
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.offload import offload
from gateway.backends.llama_cpp.plans import (
    SEQUENCES,
    Reading,
    length_for,
    readings,
    rows_tried,
    run_plans,
)
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.llama_cpp.tiled import context_kind, refuse_shorter
from gateway.backends.llama_cpp.trial import refuse_other_numbers
from gateway.core.digests import digest_json
from gateway.core.errors import BackendError, ConfigError, GatewayError
from gateway.engine.context import PassRow
from gateway.engine.in_process import usable_cores
from gateway.engine.llama import library
from gateway.models.choices import USUAL, PlanTrial, Settings, Speed
from gateway.models.environment import digest_memory
from gateway.models.spec import Kernels
from gateway.models.weights import weights_digests

_PROMPT = 256
_STEPS = 8
_ERROR_LINES = 3
_REPACKED = re.compile(r"(REPACK|AMX|KLEIDIAI)\S* model buffer size")
"""What the library says of a buffer of weights that it laid out anew."""

OnRows = Callable[[int], None]
"""Told how many rows were fed."""


class NotRun(GatewayError):
    """A candidate cannot be computed here; the message says why."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What the plans found."""

    plans: tuple[PlanTrial, ...]
    digest: str
    """Of all logits that were compared."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What is probed: a file as an entry computes it."""

    path: Path
    kernels: Kernels
    rows: int
    threads: int
    length: int
    """Tokens of one sequence."""
    adapter: Path | None = None


@dataclass(slots=True)
class ChildProber:
    """Runs candidates of one file in a child process, which ends with the block.

    Raises:
        NotRun: by `speed` and `trial`, where the library does not run the candidate.
    """

    of: Probed
    _child: "subprocess.Popen[str] | None" = field(default=None, init=False)
    _ended: bool = field(default=False, init=False)
    _door: threading.Lock = field(default_factory=threading.Lock, init=False)

    def speed(self, settings: Settings) -> Speed:
        """One round, short; a later one goes on in the same memory."""
        (found,) = self._ask("speed", settings)
        return Speed(**found)

    def trial(self, settings: Settings, on_rows: OnRows) -> Trial:
        """All plans, up to the first in which a byte changes."""
        plans, digest = [], ""
        for said in self._ask("trial", settings):
            if "rows_fed" in said:
                on_rows(int(said["rows_fed"]))
            elif "digest" in said:
                digest = str(said["digest"])
            else:
                plans.append(PlanTrial(**said))
        return Trial(tuple(plans), digest)

    def close(self) -> None:
        """End the child; whoever asks again starts another."""
        with self._door:
            child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in filter(None, (child.stdin, child.stdout, child.stderr)):
            with suppress(OSError):  # what was not sent cannot be any more
                pipe.close()

    def end(self) -> None:
        """End the child, and start none again: whoever asks in another thread is refused."""
        self._ended = True
        self.close()

    def _ask(self, what: str, settings: Settings) -> Iterator[dict[str, Any]]:
        child = self._started()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps([what, asdict(settings)]) + "\n")
            child.stdin.flush()
            for line in child.stdout:
                said = json.loads(line)
                if "failed" in said:
                    raise NotRun(said["failed"])
                if "end" in said:
                    return
                yield said
        except (BrokenPipeError, ValueError):  # the latter of half a line, or of a closed pipe
            pass
        raise NotRun("it was stopped" if self._ended else self._why_it_ended(child))

    def _started(self) -> "subprocess.Popen[str]":
        with self._door:
            if self._ended:
                raise NotRun("it was stopped")
            if self._child is None:
                self._child = self._start()
            return self._child

    def _start(self) -> "subprocess.Popen[str]":
        of = self.of
        command = [sys.executable, "-m", __name__, str(of.path), of.kernels, str(of.rows)]
        command += [str(of.threads), str(of.length), *([str(of.adapter)] if of.adapter else [])]
        # A session of its own: Ctrl-C is answered here, by ending the child.
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _why_it_ended(self, child: "subprocess.Popen[str]") -> str:
        _, said = child.communicate()
        self._child = None
        last = " ".join(said.strip().splitlines()[-_ERROR_LINES:])
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"code {child.returncode}"
        return f"it ended the process ({how}){f': {last}' if last else ''}"


def probed(spec: LlamaCppSpec, path: Path, rows: int) -> Probed:
    """What an entry's file is probed as."""
    threads, length = spec.threads or usable_cores(), min(length_for(rows), spec.context_length)
    return Probed(path, spec.kernels, rows, threads, length, spec.adapter)


def with_other_kernels(of: Probed) -> Probed | None:
    """The same file by the kernels for K-quants that its process does not take; None: it has no
    K-quants."""
    if not library.has_k_quants(weights_digests(of.path, digest_memory()).types):
        return None
    return replace(of, kernels="prefill" if of.kernels == "decode" else "decode")


def build_here() -> str:
    """The library's version and compile options."""
    return str(library.build())


def refuse_what_cannot_choose(spec: LlamaCppSpec, path: Path) -> None:
    """Raise ConfigError where the build or a card decides how an entry is computed."""
    if library.build().llamafile:
        raise ConfigError(
            f"{spec.name}: nothing is chosen on this build, which computes one row otherwise than "
            "many",
            hint=library.build().weaknesses()[0],
        )
    if offload(spec, path).layers:
        raise ConfigError(
            f"{spec.name}: layers lie on a card, where kernels follow from the number of rows",
            hint="gpu_layers = 0 in its entry computes on the processor",
        )


@contextmanager
def probing(of: Probed) -> Iterator[ChildProber]:
    """A prober of a file while the block runs."""
    prober = ChildProber(of)
    try:
        yield prober
    finally:
        prober.end()


# In the child.


@dataclass(slots=True)
class _Bench:
    """Candidates of one file, each loaded when it is first asked for and kept."""

    of: Probed
    say: Callable[[dict[str, Any]], None]
    _models: dict[tuple[bool, bool], GgufModel] = field(default_factory=dict)
    _contexts: dict[tuple[Settings, int], Context] = field(default_factory=dict)

    def speed(self, settings: Settings) -> None:
        context = self._context(settings)
        self.say(asdict(_speed(context, self._model(settings).vocab_size)))

    def trial(self, settings: Settings) -> None:
        digests = []
        for name, prompt in readings(settings, self._context(settings).length).items():
            reading, plans = self._plans(settings, prompt)
            for plan in plans:
                self.say(asdict(replace(plan, name=f"{plan.name}{name}")))
                if plan.changed:
                    return
            digests.append(reading.digest)
        self.say({"digest": digests[0] if len(digests) == 1 else digest_json(digests)})

    def _plans(self, settings: Settings, prompt: int) -> tuple[Reading, Iterator[PlanTrial]]:
        context, model = self._context(settings), self._model(settings)
        reading = Reading(context, model.vocab_size, self._fed, prompt)
        rows = min(rows_tried(settings, self.of.rows), context.length)
        alone = self._context(settings, threads=1) if self.of.threads > 1 else None
        return reading, run_plans(reading, rows, self._adapter(model), alone)

    def _fed(self, rows: int) -> None:
        self.say({"rows_fed": rows})

    def _context(self, settings: Settings, threads: int = 0) -> Context:
        key = settings, threads
        if key not in self._contexts:
            if settings.attention == "tiled":
                refuse_shorter(self._model(settings))
            self._contexts[key] = context_kind(settings.attention)(
                self._model(settings),
                sequences=SEQUENCES,
                length=self.of.length,
                threads=threads or self.of.threads,
                batch_tokens=self.of.rows,
                attention=settings.attention,
            )
        return self._contexts[key]

    def _model(self, settings: Settings) -> GgufModel:
        key = settings.repack, settings.split
        if key not in self._models:
            self._models[key] = self._loaded(settings)
        return self._models[key]

    def _loaded(self, settings: Settings) -> GgufModel:
        if not settings.split:
            return _loaded(self.of.path, settings.repack)
        if self.of.adapter:
            raise BackendError("split weights take the place of the entry's adapter")
        digest = weights_digests(self.of.path, digest_memory()).file
        model = _loaded(self.of.path, settings.repack, digest)
        refuse_other_numbers(model, self._model(USUAL))
        return model

    def _adapter(self, model: GgufModel) -> Adapter | None:
        path = self.of.adapter
        return model.adapter(path, str(path), 1.0) if path else None


def _loaded(path: Path, repack: bool, split: str = "") -> GgufModel:
    """Raises BackendError where nothing was laid out anew: it would be the other one again."""
    said: list[str] = []
    with library.listening(said.append):
        model = GgufModel(path, repack=repack, split=split)
    if repack and not _REPACKED.search("".join(said)):
        model.close()
        raise BackendError("the library has no layout of its own for these types here")
    return model


def _speed(context: Context, vocabulary: int) -> Speed:
    """Of a prompt in whole passes, and of one and eight sequences behind its beginning."""
    for sequence in range(context.sequences):
        context.truncate(sequence, 0)
    prompt = min(_PROMPT, context.length - 2 * _STEPS)
    size, begun = context.batch_tokens, time.perf_counter()
    for start in range(0, prompt, size):
        piece = range(start, min(start + size, prompt))
        context.decode([PassRow(0, i, i % vocabulary, i == prompt - 1, prompt=True) for i in piece])
    prefill = prompt / (time.perf_counter() - begun)
    for other in range(1, context.sequences):
        context.copy(0, other)
    eights = _decode(context, vocabulary, prompt, context.sequences)
    ones = _decode(context, vocabulary, prompt + _STEPS, 1)
    return Speed(prefill, ones, eights)


def _decode(context: Context, vocabulary: int, start: int, together: int) -> float:
    begun = time.perf_counter()
    for position in range(start, start + _STEPS):
        token = position % vocabulary
        context.decode([PassRow(s, position, token, True) for s in range(together)])
    return _STEPS * together / (time.perf_counter() - begun)


def _main(path: str, kernels: str, rows: str, threads: str, length: str, adapter: str = "") -> None:
    taken = cast(Kernels, kernels)
    file = Path(path)
    of = Probed(
        file, taken, int(rows), int(threads), int(length), Path(adapter) if adapter else None
    )
    library.settle_kernels(taken, weights_digests(file, digest_memory()).types)
    bench = _Bench(of, lambda said: print(json.dumps(said), flush=True))
    for line in sys.stdin:
        what, settings = json.loads(line)
        try:
            (bench.speed if what == "speed" else bench.trial)(Settings(**settings))
        except GatewayError as error:
            bench.say({"failed": error.message.removeprefix(f"{file}: ")})
        else:
            bench.say({"end": True})


if __name__ == "__main__":
    _main(*sys.argv[1:])
