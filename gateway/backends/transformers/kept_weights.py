"""Dequantized weights of GGUF files, kept as safetensors: mapped at the next load, not made again.

A file is found by the GGUF's contents, the dtype, and the libraries that read it. Its name has its
SHA-256, which is checked before it is used. What is damaged is removed, said in the log, and made
again.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from gateway.backends.transformers import library
from gateway.core.digests import canonical_json, digest_json, file_digest
from gateway.core.kept import WEIGHTS, KeptFiles
from gateway.models.environment import digest_memory, kept_files
from gateway.models.spec import Dtype
from gateway.models.weights import weights_digests

logger = logging.getLogger("gateway.models")

_LAYOUT = 1
"""Counts what a file holds beside the tensors."""
_NAME_DIGITS = 24
_MAPPED = "mapped_from_kept"
"""Attribute of a model whose weights are mapped from a file here."""


@dataclass(frozen=True)
class KeptWeights:
    """Those of one GGUF in one dtype."""

    files: KeptFiles
    gguf: Path
    dtype: Dtype

    @cached_property
    def _prefix(self) -> str:
        digests = weights_digests(self.gguf, digest_memory())
        read_by = {name: version(name) for name in ("torch", "transformers", "gguf")}
        made_of = [_LAYOUT, digests.file, digests.contents, self.dtype, read_by]
        return digest_json(made_of)[:_NAME_DIGITS]

    def find(self) -> Path | None:
        """The file, verified; None: there is none that is whole."""
        for path in sorted(self.files.folder.glob(f"{self._prefix}-*{WEIGHTS}")):
            try:
                whole = path.name == self._name(file_digest(path))
            except OSError:  # Another process has removed it.
                continue
            if whole:
                self.files.used(path)
                return path
            logger.warning(
                "%s is not used, and removed: its SHA-256 is not the one in its name; the weights "
                "are dequantized again",
                path,
            )
            self.files.remove(path)
        return None

    def load(self, path: Path, options: Mapping[str, Any]) -> tuple[Any, Any]:
        """The model of transformers, its weights mapped from the file, and the loading report.

        Raises:
            SafetensorError, OSError: the file is gone.
        """
        torch, transformers = library.load()
        with safe_open(path, framework="pt") as file:
            said = file.metadata()
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = _config(json.loads(said["config"]))
        with torch.device("meta"):
            empty = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        made: tuple[Any, Any] = type(empty).from_pretrained(
            None, config=config, state_dict=held, **options
        )
        made[0].generation_config = transformers.GenerationConfig(**json.loads(said["generation"]))
        setattr(made[0], _MAPPED, path)
        return made

    def keep(self, module: Any) -> None:
        """Write the weights of a model that was just read; where they cannot be, it is read as
        slowly the next time."""
        held = _once(module.state_dict())
        if not self.files.takes(sum(each.nbytes for each in held.values())):
            return
        said = {
            "config": canonical_json(_told(module.config)),
            "generation": canonical_json(_told(module.generation_config)),
        }
        try:
            self._write(held, said)
        except (OSError, SafetensorError) as why:
            logger.warning("dequantized weights are not kept for the next start: %s", why)

    def _write(self, held: Mapping[str, Any], said: Mapping[str, str]) -> None:
        self.files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self.files.unfinished(WEIGHTS)
        try:
            # Made first, so that nobody else can read it while it is written.
            os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            save_file(dict(held), unfinished, dict(said))
            unfinished.chmod(0o600)
            os.replace(unfinished, self.files.folder / self._name(file_digest(unfinished)))
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        self.files.trim()

    def _name(self, digest: str) -> str:
        return f"{self._prefix}-{digest}{WEIGHTS}"


def kept_weights(gguf: Path, dtype: Dtype, options: Mapping[str, Any]) -> KeptWeights | None:
    """Where the dequantized weights of a GGUF are kept; None: nowhere."""
    files = kept_files()
    elsewhere = {"device_map", "quantization_config"} & options.keys()
    return None if files is None or elsewhere else KeptWeights(files, gguf, dtype)


def mapped_from(module: Any) -> Path | None:
    """The kept file that a model's weights are mapped from."""
    return getattr(module, _MAPPED, None)


def _once(held: Mapping[str, Any]) -> dict[str, Any]:
    """Each tensor by one of its names: tied ones are tied again by the configuration."""
    found: dict[tuple[int, int], str] = {}
    for name, tensor in held.items():
        found.setdefault((tensor.data_ptr(), tensor.nbytes), name)
    return {name: held[name].contiguous() for name in found.values()}


def _told(configuration: Any) -> Any:
    """A configuration as values of JSON, without how a GGUF was packed."""
    said = json.loads(configuration.to_json_string(use_diff=False))
    said.pop("quantization_config", None)
    return said


def _config(said: dict[str, Any]) -> Any:
    return library.load()[1].AutoConfig.for_model(**said)
