"""The entries of models.toml that levels on torch get: the source's, but for the weights."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.backends.transformers.packed import packing_of
from gateway.backends.transformers.spec import TransformersSpec
from gateway.models.writing import put_entries
from gateway.quantization.ladder_entries import kept_keys, template_beside
from gateway.quantization.torch.make import MadeFolder
from gateway.quantization.torch.source import TorchSource


def write_entries(
    source: TorchSource, made: Sequence[MadeFolder], file: Path, out: Path
) -> tuple[str, ...]:
    """Write an entry for each folder; its names.

    Raises:
        ConfigError: the file does not parse.
    """
    template = template_beside(source.spec, source.name, out)
    entries = {each.entry: dict(_keys(source, each, template)) for each in made}
    put_entries(file, entries)
    return tuple(entries)


def _keys(source: TorchSource, made: MadeFolder, template: str) -> Iterator[tuple[str, object]]:
    packing = packing_of(made.path)
    assert packing is not None
    yield "backend", TransformersSpec.backend
    yield "source", {"path": str(made.path.resolve())}
    yield "quantization", packing.named
    yield "description", f"{source.name} quantized by {made.level.method}"
    yield from kept_keys(TransformersSpec.like(source.spec), template)
