"""What a level on torch is made of: an entry, a GGUF file or a folder of safetensors."""

from dataclasses import dataclass
from pathlib import Path

from gateway.backends.transformers.packed import packing_of
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ConfigError
from gateway.models.file import Models
from gateway.models.locate import described_digests, locate
from gateway.models.spec import ModelSpec, PathSource
from gateway.models.weights import folder_contents_digest
from gateway.quantization.ladder import name_of
from gateway.quantization.source import given


@dataclass(frozen=True, slots=True)
class TorchSource:
    """A model whose weights can be read on torch."""

    spec: ModelSpec
    """Of a file or folder without an entry: one with all defaults."""
    path: Path
    name: str
    """The entry's; of a file its own, without the level that it is named after."""

    @property
    def is_gguf(self) -> bool:
        return not self.path.is_dir()

    def digest(self) -> str:
        """Of the weights' contents.

        Raises:
            ModelLoadError: it cannot be read, or is not what the entry describes.
        """
        if self.is_gguf:
            return described_digests(self.spec, self.path).contents
        return folder_contents_digest(self.path)


def torch_source(text: str, models: Models) -> TorchSource:
    """The entry of that name, or else the file or folder.

    Raises:
        ConfigError: it is neither, or its weights are packed or put together from others.
        ModelNotPulled: its weights are not on this machine.
        ModelLoadError: they cannot be read.
    """
    spec = models.specs.get(text)
    folder = Path(text).expanduser()
    if spec is None and folder.is_dir():
        spec = TransformersSpec(
            folder.resolve().name, PathSource(folder.resolve()), origin="the command line"
        )
    if isinstance(spec, TransformersSpec):
        path, name = locate(spec), spec.name
    else:
        found = given(text, models)
        spec, path, name = found.spec, found.path, name_of(found)
    if spec.adapter is not None:
        raise ConfigError(
            f"{spec.name} has an adapter, which would be left out",
            hint="gateway adapters merge makes a folder of both",
        )
    packing = packing_of(path) if path.is_dir() else None
    if packing or (isinstance(spec, TransformersSpec) and spec.quantize):
        how = packing.named if packing else f'quantize = "{spec.precision}"'
        raise ConfigError(
            f"{spec.name} is in few bits already ({how}): what is lost does not come back",
            hint="name a model in 16 or 32 bits",
        )
    return TorchSource(spec, path, name)
