"""What the listing commands print."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from gateway.backends.base import Backend, load_backend
from gateway.backends.pool import ModelPool
from gateway.core.errors import ConfigError, DataError, ModelLoadError, ModelNotPulled
from gateway.core.sizes import readable
from gateway.determinism.replay import Group, Replay
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.evaluation.judge.rubric import GRADES, list_rubrics, load_rubric
from gateway.evaluation.plan import Prepared
from gateway.evaluation.run import question
from gateway.models import ollama_store
from gateway.models.certificates import Certificate, level_of
from gateway.models.environment import certificates_file, ollama_root
from gateway.models.file import Models
from gateway.models.locate import locate
from gateway.models.spec import HubSource, ModelSpec, OllamaSource, PathSource, PypiSource
from gateway.report.format import ABSENT
from gateway.report.pages.template import template_remarks
from gateway.report.table import Cell, Head, Heads, numbers, print_facts, print_rows, say
from gateway.tasks.prompts import list_strategies, load_template
from gateway.tasks.task import list_tasks, load_task

_SHOWN = 10
"""Ids or reasons that are named; --json has all of them."""


_IN_PROCESS = {"deterministic", "attention", "kernels", "batch_tokens"}
_ON_TORCH = {"dtype", "device", "quantize", "adapter_merged", "adapter_pickle"}
_ON_A_SERVER = {"host", "route"}
_ELSEWHERE = {
    "llama_cpp": _ON_TORCH | _ON_A_SERVER,
    "transformers": _ON_A_SERVER | _IN_PROCESS - {"deterministic"},
    "ollama": _IN_PROCESS | _ON_TORCH,
    "fake": _IN_PROCESS | _ON_TORCH | _ON_A_SERVER,
}
"""Keys of an entry that say nothing of a backend."""


def models_table(models: Models, console: Console) -> None:
    """One row an entry."""
    rows = []
    for name, spec in sorted(models.specs.items()):
        shown = f"{name} (default)" if name == models.default else name
        rows.append((shown, spec.quantization, _here(spec), _source(spec), spec.description))
    source = Head("source", breaks=True)
    print_rows(("model", "type", "here", source, "description"), rows, console)
    origins = sorted({spec.origin for spec in models.specs.values()})
    say(console, "entries from: " + ", ".join(origins))


def keys_table(rows: Sequence[tuple[str, ...]], console: Console) -> None:
    """One row an API key: name, models, requests a minute, when it was made."""
    heads: Heads = ["key", "models", *numbers("requests a minute"), "created"]
    print_rows(heads, rows, console)


def replayed(made: Replay, console: Console) -> None:
    """One row for each model then and model now; below, what is to be known of them."""
    counts = numbers("asked", "byte-identical", "texts equal", "failed", "mean difference")
    rows = [_replayed(group) for group in made.groups]
    if rows:
        print_rows(("then", "now", "fingerprint", *counts), rows, console)
    else:
        say(console, "no request of the recording was answered, so none was asked again")
    for line in _remarks(made):
        say(console, line)


def _replayed(group: Group) -> tuple[str, ...]:
    mean = group.mean_difference
    fingerprints = group.recorded_fingerprint[:12]
    if not group.same:
        fingerprints += f" -> {group.fingerprint[:12]}"
    counts = (group.asked, group.identical, group.texts_equal, len(group.failures))
    shown = ABSENT if mean is None else f"{mean:.3f}"
    return (group.recorded_model, group.model, fingerprints, *map(str, counts), shown)


def _remarks(made: Replay) -> Iterator[str]:
    for group in made.groups:
        if not group.same:
            parts = ", ".join(group.differing) or "the recording does not say in what"
            yield f"{group.recorded_model} then and {group.model} now are two models: {parts}"
        elif group.changed:
            ids = ", ".join(map(str, group.changed[:_SHOWN]))
            yield f"{group.model} is the same model and answered otherwise, requests {ids}"
        reasons = Counter(reason for _, reason in group.failures)
        for reason, count in reasons.most_common(_SHOWN):
            yield f"{count} failed: {reason}"
    if unanswered := made.failed_then + made.cancelled_then:
        yield (
            f"{unanswered} requests of the recording have no answer and were not asked: "
            f"{made.failed_then} failed, {made.cancelled_then} were cancelled"
        )


async def model_details(spec: ModelSpec, console: Console) -> None:
    """The entry, and what loading its file tells."""
    print_facts([fact async for fact in _facts(spec)], console)


async def _facts(spec: ModelSpec) -> AsyncIterator[tuple[str, str]]:
    hidden = {"source", "left_out", *_ELSEWHERE[spec.backend]}
    hidden |= set() if spec.adapter else {"adapter", "adapter_scale"}
    for key, value in asdict(spec).items():
        if key not in hidden and value not in ("", 0, None):
            yield key, str(value)
    yield "source", _source(spec)
    for remark in spec.left_out:
        yield "warning", remark
    path = Path()
    if spec.backend != "ollama":
        try:
            path = locate(spec)
        except (ModelNotPulled, ModelLoadError, ConfigError) as unusable:
            yield "file", str(unusable)
            return
        yield "file", f"{path} ({path.stat().st_size / 1e6:.0f} MB)"
    if spec.backend == "llama_cpp":
        from gateway.report.pages.ladder import file_rows

        for fact in file_rows(spec, path):
            yield fact
    backend = await asyncio.to_thread(load_backend, spec, path)
    try:
        for key, value in backend.identity.items():
            yield f"identity: {key}", value
        yield "fingerprint", backend.fingerprint
        if backend.memory.weights:
            yield "memory", _memory(backend)
        level = level_of(backend.fingerprint, certificates_file())
        yield "determinism", f"{level.value} on this machine"
        for warning in backend.warnings:
            yield "warning", warning
        for remark in await asyncio.to_thread(_of_ollama_s_template, spec, path, backend):
            yield "Ollama's template", remark
    finally:
        await backend.close()


def _of_ollama_s_template(spec: ModelSpec, path: Path, backend: Backend) -> list[str]:
    """Where the model is one of Ollama's: how its chat differs from the model's own."""
    if spec.backend == "ollama":
        from gateway.backends.ollama.backend import OllamaBackend

        assert isinstance(backend, OllamaBackend)
        served = backend.served.shown.template
        return list(template_remarks(backend.own_template, served, backend.vocabulary))
    if not isinstance(spec.source, OllamaSource):
        return []
    vocabulary = GgufVocabulary(path)
    try:
        template = ollama_store.resolve(ollama_root(), spec.source.name).template
        return list(template_remarks(vocabulary.chat_template or "", template, vocabulary))
    finally:
        vocabulary.close()


def certificate(made: Certificate, console: Console) -> None:
    """The evidence, one row a trial, and the level."""
    heads: Heads = ["trial", *numbers("requests", "texts changed", "log-probabilities changed")]
    rows = [
        (trial.name, *map(str, (trial.requests, trial.texts_changed, trial.logprobs_changed)))
        for trial in made.trials
    ]
    print_rows(heads, rows, console)
    say(console, f"{made.model} on {made.machine}: {made.level.value}")


def prompts_table(root: Path, console: Console) -> None:
    """One row a task and strategy, and one a rubric."""
    rows: list[tuple[Cell, ...]] = []
    for name in list_tasks(root):
        task = load_task(name, root)
        labels = ", ".join(label.name for label in task.labels) or "from the data"
        shown = labels if task.kind == "classification" else ABSENT
        strategies = list_strategies(task, root)
        for strategy in strategies:
            mode = load_template(task, strategy, root).mode
            rows.append((name, task.kind, strategy, mode, shown))
        if not strategies:
            rows.append((name, task.kind, "none yet", ABSENT, shown))
    for name in list_rubrics(root):
        template = load_rubric(name, root).template
        rows.append((name, "rubric", template.strategy, template.mode, ", ".join(GRADES)))
    print_rows(("task", "kind", "strategy", "mode", "labels"), rows, console)
    say(console, f"tasks from: {root}")


async def rendered_prompt(
    prepared: Prepared, spec: ModelSpec, item_id: str, console: Console, notes: Console
) -> None:
    """The exact text that the model reads, on standard output; the rest on standard error."""
    items = {item.id: item for item in prepared.plan.items}
    if item_id and item_id not in items:
        raise DataError(
            f"{prepared.data.path}: no item has the id {item_id!r}",
            hint=f"the first ids: {', '.join(list(items)[:5])}",
        )
    item = items[item_id] if item_id else prepared.plan.items[0]
    strategy = prepared.plan.strategies[0]
    pool = ModelPool(Models({spec.name: spec}, spec.name))
    async with pool.lease(spec.name) as backend:
        asked = question(prepared.plan.task, prepared.plan.labels, strategy, backend, item)
        rendered = backend.render(asked.request)
    await pool.close()
    console.file.write(rendered.text + "\n")
    say(notes, f"item {item.id}: {len(rendered.token_ids)} tokens")
    for field, (before, after) in asked.prompt.shortened.items():
        say(notes, f"{field} shortened from {before} to {after} tokens")
    if strategy.template.reasoning_tokens:
        say(
            notes,
            f"the model reasons up to {strategy.template.reasoning_tokens} tokens; then follows "
            f"{asked.prompt.answer_start!r}",
        )


def _here(spec: ModelSpec) -> str:
    if spec.backend == "ollama":
        return "server"
    try:
        locate(spec)
    except ModelNotPulled:
        return "no"
    except (ConfigError, ModelLoadError):
        return "unusable"  # `models show` says why
    return "yes"


def _memory(backend: Backend) -> str:
    """What the model takes, and what its cache of prompts' beginnings can hold."""
    memory, spec = backend.memory, backend.spec
    return (
        f"weights {readable(memory.weights)}, keys and values {readable(memory.cache)} "
        f"({spec.parallel} x {backend.identity.get('context_length', '?')} tokens; beginnings of "
        "prompts stay in it until others need the room, those used longest ago go first), "
        f"scratch {readable(memory.scratch)}"
    )


def _source(spec: ModelSpec) -> str:
    source = spec.source
    if isinstance(source, PathSource):
        return str(source.path)
    if isinstance(source, HubSource):
        return f"hub:{source.repo}{'/' if source.file else ''}{source.file}@{source.revision}"
    if isinstance(source, OllamaSource):
        return f"ollama:{source.name}"
    assert isinstance(source, PypiSource)
    more = f" and {len(source.requirements) - 1} more" if len(source.requirements) > 1 else ""
    return f"pypi:{source.requirements[0]}{more}"
