"""The entries of models.toml that a ladder's files get: the source's, but for the weights."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from gateway.backends.registry import load_models
from gateway.core.errors import ConfigError
from gateway.core.files import write_atomically
from gateway.models.environment import shipped
from gateway.models.file import Models
from gateway.models.spec import ENTRY_NAME, NAMED, ModelSpec, PathSource
from gateway.models.writing import put_entries
from gateway.quantization.ladder import Ladder, name_of
from gateway.quantization.make import Made
from gateway.quantization.names import Level, level_entry
from gateway.quantization.source import Given

_KEPT = (
    *("license", "context_length", "end_of_turn", "parallel", "threads", "batch_tokens"),
    *("adapter_scale", "deterministic", "attention", "repack", "split"),
    *("system", "dtype", "device"),
)
"""Keys of the source's entry that hold for its levels too; what is the default is left out."""
_LEFT = ("split", True)
"""A level of another type has nothing to split."""

_PLAIN = "plain"
"""The one chat template that has a name instead of a file."""


def known_models(file: Path) -> Models:
    """The shipped entries and those of a file, which may be made later.

    Raises:
        ConfigError: it does not parse.
    """
    return load_models(file if file.is_file() else shipped("modelfiles") / "models.toml")


def check_names(source: Given, levels: Sequence[Level], file: Path, out: Path) -> None:
    """Whether the entries' names are free, or are those of the source's own ladder.

    Raises:
        ConfigError: one is none, or another model has it, or the file does not parse.
    """
    refuse_taken([level_entry(name_of(source), level) for level in levels], file, out)


def refuse_taken(names: Sequence[str], file: Path, out: Path) -> None:
    """Whether names of entries are free, or are those of weights in a folder.

    Raises:
        ConfigError: one is no name, or another entry has it, or the file does not parse.
    """
    known = known_models(file).specs
    for name in names:
        if not re.fullmatch(ENTRY_NAME, name):
            raise ConfigError(f"{name!r} cannot name an entry", hint="rename the file")
        taken = known.get(name)
        lies = taken.source if taken else None
        own = isinstance(lies, PathSource) and lies.path.parent == out.resolve()
        if taken and not own:
            raise ConfigError(
                f"{taken.name!r} is another entry, of {taken.origin}",
                hint="rename that one, or give --models-file another file",
            )


def write_entries(ladder: Ladder, made: Sequence[Made], file: Path, out: Path) -> tuple[str, ...]:
    """Write an entry for each file, and the chat template beside them where it is a text.

    Returns:
        The names of the entries.

    Raises:
        ConfigError: the file does not parse.
    """
    template = template_beside(ladder.source.spec, ladder.name, out)
    entries = {ladder.entry(m.rung): dict(_keys(ladder, m, template)) for m in made}
    put_entries(file, entries)
    return tuple(entries)


def template_beside(spec: ModelSpec, name: str, out: Path) -> str:
    """What the entries say of their chat template; a text is written into a file for them."""
    template = spec.chat_template.removeprefix(NAMED)
    if template != spec.chat_template or template in ("", _PLAIN):
        return template
    path = out.resolve() / f"{name.replace(':', '_')}.jinja"
    write_atomically(path, template)
    return str(path)


def kept_keys(spec: ModelSpec, template: str) -> Iterator[tuple[str, object]]:
    """Keys of a source's entry that hold for a level of it too, with what differs from the default.

    Args:
        template: as `template_beside` answers.
    """
    own = {field.name: field.default for field in fields(spec)}
    for key in _KEPT:
        if key in own and (value := getattr(spec, key)) != own[key] and (key, value) != _LEFT:
            yield key, value
    if template:
        yield "chat_template", template


def _keys(ladder: Ladder, made: Made, template: str) -> Iterator[tuple[str, object]]:
    spec = ladder.source.spec
    yield "source", {"path": str(made.path.resolve())}
    yield "sha256", made.sha256
    yield "quantization", made.rung.level.name
    yield "description", _description(ladder, made)
    yield from kept_keys(spec, template)
    if spec.adapter is not None:
        yield "adapter", str(spec.adapter)


def _description(ladder: Ladder, made: Made) -> str:
    (most, *_), quantized = ladder.contents.types, ladder.contents.quantized.weights
    source = f"dequantized {most}" if quantized else most
    return f"{ladder.name} quantized to {made.rung.level.name} from {source} weights"
