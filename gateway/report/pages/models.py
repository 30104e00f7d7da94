"""The entries, and one of them in full."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

from gateway.backends.base import Backend, load_backend
from gateway.core.errors import ConfigError, ModelLoadError, ModelNotPulled
from gateway.core.sizes import readable
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.models import ollama_store
from gateway.models.certificates import level_of
from gateway.models.environment import certificates_file, ollama_root
from gateway.models.file import Models
from gateway.models.locate import locate
from gateway.models.spec import HubSource, ModelSpec, OllamaSource, PathSource, PypiSource
from gateway.report.pages.template import template_remarks
from gateway.report.sections import Head, Section, by_rows

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


def listing(models: Models) -> Section:
    """One row an entry."""
    rows = []
    for name, spec in sorted(models.specs.items()):
        shown = f"{name} (default)" if name == models.default else name
        rows.append((shown, spec.quantization, _here(spec), _source(spec), spec.description))
    heads = ("model", "type", "here", Head("source", breaks=True), "description")
    origins = sorted({spec.origin for spec in models.specs.values()})
    return Section(tables=(by_rows(heads, rows),), lines=("entries from: " + ", ".join(origins),))


async def details(spec: ModelSpec) -> Section:
    """The entry, and what loading its file tells."""
    return Section(facts=tuple([fact async for fact in _facts(spec)]))


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
