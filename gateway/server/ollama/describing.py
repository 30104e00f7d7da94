"""What an entry of models.toml is, in Ollama's terms: digest, size, family, template."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from gateway.core.digests import digest_json
from gateway.core.errors import GatewayError
from gateway.core.files import stamp
from gateway.models.abilities import DIFFUSION, ENCODERS, TWO_HALVES
from gateway.models.adapters.folder import WEIGHTS, adapter_digest
from gateway.models.chat_template import PLAIN, tool_mode
from gateway.models.environment import digest_memory
from gateway.models.gguf import Header
from gateway.models.gguf_parts import files_of, read_model
from gateway.models.locate import weights_path
from gateway.models.spec import DEFAULT, NAMED, ModelSpec
from gateway.models.weights import folder_contents_digest, weights_digests

logger = logging.getLogger("gateway.server")

_REMEMBERED = 256
_FILE_TYPE_PREFIXES = ("MOSTLY_", "ALL_")
_NOTHING = Header({}, ())


@dataclass(frozen=True, slots=True)
class Description:
    """All that can be told of a model without loading it."""

    spec: ModelSpec
    path: Path
    digest: str
    """Of the weights' contents; with an adapter, of its contents and scale too."""
    size: int
    """Bytes of all files."""
    modified: datetime
    header: Header

    @property
    def family(self) -> str:
        """The architecture."""
        return self.header.architecture

    @property
    def parameter_size(self) -> str:
        """Number of weights as a person reads it: "134.52M", "7.2B"."""
        count = self.header.parameters
        if count >= 1e9:
            return f"{count / 1e9:.1f}B"
        return f"{count / 1e6:.2f}M" if count >= 1e6 else f"{count / 1e3:.0f}K"

    @property
    def quantization(self) -> str:
        """The type of most tensors, as the file names it."""
        from gguf import LlamaFileType

        try:
            name = str(LlamaFileType(self.header.metadata["general.file_type"]).name)
        except (KeyError, ValueError):
            return "unknown"
        for prefix in _FILE_TYPE_PREFIXES:
            name = name.removeprefix(prefix)
        return name

    @property
    def template(self) -> str:
        """The Jinja chat template that is used; empty where there is none."""
        if self.spec.chat_template == "plain":
            return PLAIN
        key = "tokenizer.chat_template"
        if self.spec.chat_template.startswith(NAMED):
            name = self.spec.chat_template.removeprefix(NAMED)
            return str(self.header.metadata.get(key if name == DEFAULT else f"{key}.{name}", ""))
        return self.spec.chat_template or str(self.header.metadata.get(key, ""))

    @property
    def capabilities(self) -> list[str]:
        """What it can be asked for, in Ollama's words."""
        if self.family in ENCODERS:
            return ["embedding"]
        if self.family in DIFFUSION | TWO_HALVES:
            return []
        shown = tool_mode(self.spec.tools, self.template, {}) != "off"
        return ["completion", *(["tools"] if shown else []), "embedding"]

    def number(self, key: str) -> int:
        """A number that the architecture's metadata gives; 0 where it does not."""
        found = self.header.metadata.get(f"{self.family}.{key}", 0)
        return found if isinstance(found, int) else 0


def describe(spec: ModelSpec) -> Description:
    """Read an entry's files. A digest takes seconds when a file is new, and is then remembered.

    Raises:
        ModelNotPulled, ModelLoadError: a file is absent or cannot be read.
    """
    path = weights_path(spec)
    if not spec.can.reads_files:
        # A server has them, or nobody: `path` is empty, and never the folder that one works in.
        return Description(spec, path, digest_json(spec.name), 0, _moment(0.0), _NOTHING)
    if path.is_dir():
        return _of_folder(spec, path)
    files = [*files_of(path), *_adapter_files(spec)]
    found = [file.stat() for file in files]
    return Description(
        spec,
        path,
        _digest(spec, weights_digests(path, digest_memory()).contents),
        sum(stat.st_size for stat in found),
        _moment(max(stat.st_mtime for stat in found)),
        _header(path, stamp(path)),
    )


def describe_all(specs: Iterable[ModelSpec]) -> list[Description]:
    """Of those entries whose files can be read; the log says which cannot."""
    found = []
    for spec in specs:
        try:
            found.append(describe(spec))
        except GatewayError as error:
            logger.warning("model %s is not listed: %s", spec.name, error)
    return found


def _of_folder(spec: ModelSpec, path: Path) -> Description:
    """Of a folder of safetensors, whose header is none that Ollama has words for."""
    files = [file for file in sorted(path.iterdir()) if file.is_file()]
    stamps = "|".join(map(stamp, files))
    stats = [file.stat() for file in [*files, *_adapter_files(spec)]]
    return Description(
        spec,
        path,
        _digest(spec, _of_weights(path, stamps)),
        sum(stat.st_size for stat in stats),
        _moment(max((stat.st_mtime for stat in stats), default=0.0)),
        _NOTHING,
    )


@lru_cache(maxsize=_REMEMBERED)
def _of_weights(folder: Path, stamps: str) -> str:
    """Digest of a folder's contents, remembered as long as its files are the same."""
    return folder_contents_digest(folder)


def _digest(spec: ModelSpec, weights: str) -> str:
    if spec.adapter is None:
        return weights
    if spec.adapter.is_dir():
        adapter = adapter_digest(spec.adapter)
    else:
        adapter = weights_digests(spec.adapter, digest_memory()).contents
    return digest_json([weights, adapter, repr(spec.adapter_scale)])


def _adapter_files(spec: ModelSpec) -> list[Path]:
    if spec.adapter is None:
        return []
    file = spec.adapter / WEIGHTS if spec.adapter.is_dir() else spec.adapter
    # One that is absent has no digest either, which says so.
    return [file] if file.is_file() else []


@lru_cache(maxsize=_REMEMBERED)
def _header(path: Path, stamped: str) -> Header:
    """Remembered as long as the file is the same."""
    return read_model(path)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
