"""One entry in full."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.protocol import Able, Backend, Choosing, Served
from gateway.backends.registry import load_backend
from gateway.core.errors import ConfigError, ModelLoadError, ModelNotPulled
from gateway.core.sizes import readable
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.models import ollama_store
from gateway.models.abilities import Abilities
from gateway.models.certificates import level_of
from gateway.models.choices import USUAL
from gateway.models.environment import certificates_file, ollama_root
from gateway.models.gguf_parts import files_of
from gateway.models.locate import locate
from gateway.models.spec import ModelSpec, OllamaSource
from gateway.report.pages.fastest import said
from gateway.report.pages.models import source_of
from gateway.report.pages.template import template_remarks
from gateway.report.sections import Section

_REMEMBERS = {
    "none": "nothing: a text is read in one pass",
    "attention": "keys and values of every token",
    "recurrent": "a state of fixed size, saved behind a prompt to come back to",
    "hybrid": "keys and values, and a state of fixed size, saved behind a prompt to come back to",
}


async def section(spec: ModelSpec) -> Section:
    """The entry, and what loading its file tells."""
    facts = list(_of_entry(spec))
    try:
        path = locate(spec) if spec.can.reads_files else Path()
    except (ModelNotPulled, ModelLoadError, ConfigError) as unusable:
        return Section(facts=(*facts, ("file", str(unusable))))
    backend = await asyncio.to_thread(load_backend, spec, path)
    try:
        facts += _of_file(spec, path, backend)
        facts += await asyncio.to_thread(lambda: list(_of_loaded(spec, path, backend)))
    finally:
        await backend.close()
    return Section(facts=tuple(facts))


def _of_entry(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    yield "backend", spec.backend
    hidden = {"source", "left_out", *([] if spec.adapter else ["adapter_scale"])}
    for key in spec.takes():
        value = getattr(spec, key)
        if key not in hidden and value not in ("", 0, None, ()):
            yield key, str(value)
    if (held := spec.context_held) != spec.context_length:
        yield "room", f"for {held} tokens: llama.cpp rounds context_length up"
    yield "source", source_of(spec)
    for remark in spec.left_out:
        yield "warning", remark


def _of_file(spec: ModelSpec, path: Path, backend: Backend) -> Iterator[tuple[str, str]]:
    if spec.can.reads_files:
        files = files_of(path)
        parts = f", {len(files)} parts" if len(files) > 1 else ""
        size = readable(sum(file.stat().st_size for file in _read_of(files)))
        yield "file", f"{path} ({size}{parts})"
        if len(files) > 1 and spec.sha256:
            yield "sha256 is of", f"the first part; identity: weights is of all {len(files)}"
    if isinstance(spec, LlamaCppSpec):
        from gateway.report.pages.ladder import file_rows

        chosen = backend.choice if isinstance(backend, Choosing) else None
        yield from file_rows(spec, path, chosen.settings if chosen else spec.pinned)


def _read_of(files: Sequence[Path]) -> Iterator[Path]:
    """Files, and those that lie in a folder."""
    for each in files:
        yield from (file for file in each.iterdir() if file.is_file()) if each.is_dir() else [each]


def _of_loaded(spec: ModelSpec, path: Path, backend: Backend) -> Iterator[tuple[str, str]]:
    if isinstance(backend, Able) and backend.abilities.architecture:
        yield from _of_abilities(backend.abilities)
    for key, value in backend.identity.items():
        yield f"identity: {key}", value
    yield "fingerprint", backend.fingerprint
    if backend.memory.weights:
        yield "memory", _memory(backend)
        yield "layers", backend.memory.where
    if isinstance(backend, Choosing):
        yield "settings", _settings(backend)
    level = level_of(backend.fingerprint, certificates_file())
    yield "determinism", f"{level.value} on this machine"
    for warning in backend.warnings:
        yield "warning", warning
    for remark in _of_ollama_s_template(spec, path, backend):
        yield "Ollama's template", remark


def _settings(backend: Choosing) -> str:
    """How the library computes it, and who says so."""
    if backend.choice is not None:
        return f"{said(backend.choice)}, by gateway certify --fastest"
    if backend.chooses:
        return f"{USUAL}; gateway certify --fastest {backend.spec.name} finds faster ones"
    return "as the entry says"


def _of_abilities(found: Abilities) -> Iterator[tuple[str, str]]:
    """What the model is and may be asked for."""
    yield "kind", f"{found.kind} ({found.architecture})"
    yield "can", ", ".join(found.uses) or "nothing that the gateway asks for"
    yield "remembers", _REMEMBERS[found.memory]
    if found.can("embed"):
        said = "the file names none: by their mean" if found.pooling == "none" else found.pooling
        yield "pooling of states", said
    if found.pooling == "rank":
        yield "scores", ", ".join(name or "without a name" for name in found.classes)
    if found.before:
        yield "put before a text", " ".join(found.before)
    if found.behind:
        yield "put behind a text", f"{' '.join(found.behind)}, where the text is embedded"


def _of_ollama_s_template(spec: ModelSpec, path: Path, backend: Backend) -> list[str]:
    """Where the model is one of Ollama's: how its chat differs from the model's own."""
    if isinstance(backend, Served):
        served = backend.served_template
        return list(template_remarks(backend.own_template, served, backend.vocabulary))
    if not isinstance(spec.source, OllamaSource):
        return []
    vocabulary = GgufVocabulary(path)
    try:
        template = ollama_store.resolve(ollama_root(), spec.source.name).template
        return list(template_remarks(vocabulary.chat_template or "", template, vocabulary))
    finally:
        vocabulary.close()


def _memory(backend: Backend) -> str:
    """What the model takes, and what its cache of prompts' beginnings can hold."""
    memory, spec = backend.memory, backend.spec
    if not memory.cache:
        return f"weights {readable(memory.weights)}"  # What reads a text in one pass keeps nothing.
    states = f"states {readable(memory.state)} ({spec.parallel} x, of any length), "
    return (
        f"weights {readable(memory.weights)}, "
        f"keys and values {readable(memory.cache - memory.state)} "
        f"({spec.parallel} x {backend.identity.get('context_length', '?')} tokens; beginnings of "
        "prompts stay in it until others need the room, those used longest ago go first), "
        f"{states if memory.state else ''}scratch {readable(memory.scratch)}"
    )
