"""A model as a command is given it: the name of an entry, or a GGUF file."""

from dataclasses import dataclass
from pathlib import Path

from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.errors import ConfigError, UnknownModel
from gateway.models.file import Models
from gateway.models.gguf import Header
from gateway.models.gguf_kind import refuse_no_model
from gateway.models.gguf_parts import name_of, placed, read_model
from gateway.models.locate import locate
from gateway.models.spec import PathSource


@dataclass(frozen=True, slots=True)
class Given:
    """One GGUF file, or the first part of a split one, and the entry that names it."""

    spec: LlamaCppSpec
    """Of a file without an entry: one with all defaults."""
    path: Path
    header: Header

    @property
    def name(self) -> str:
        return self.spec.name


def given(text: str, models: Models) -> Given:
    """The entry of that name, or else the file.

    Raises:
        ConfigError: it is neither, or is not one whole model in a GGUF file.
        ModelNotPulled: the entry's file is not on this machine.
        ModelLoadError: the file cannot be read.
    """
    spec = models.specs.get(text) or _of_file(text)
    if not spec.can.reads_files:
        raise ConfigError(
            f"{spec.name} has no file that can be read here: it is run by {spec.backend}",
            hint="a model of an Ollama on this machine: gateway models import-ollama",
        )
    path = locate(spec)
    _refuse_folder(path)
    if not isinstance(spec, LlamaCppSpec):
        raise ConfigError(f"{spec.name} is run by {spec.backend}", hint=f"name its file: {path}")
    header = read_model(path)
    refuse_no_model(path, header)
    return Given(spec, path, header)


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise ConfigError(
            f"{path} is a folder of Hugging Face weights, not a GGUF file",
            hint="gateway quantize --method gptq, awq, nf4 or int8 takes it as it is; for "
            "llama.cpp, its convert_hf_to_gguf.py --outtype f16 makes a file of it",
        )


def _of_file(text: str) -> LlamaCppSpec:
    path = Path(text).expanduser()
    if not path.exists():
        raise UnknownModel(
            f"{text!r} is neither an entry nor a file", hint="gateway models list names the entries"
        )
    _refuse_folder(path)
    return LlamaCppSpec(name_of(path), PathSource(placed(path)), origin="the command line")
