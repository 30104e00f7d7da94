"""PEFT adapters on a loaded model: any number on one base, one at a time in a pass."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from gateway.errors import BackendError, ModelLoadError
from gateway.identity import digest_json, file_digest

_WEIGHTS = "adapter_model.safetensors"
_CONFIG = "adapter_config.json"
_IN_PLACE = {"LORA", "LOHA", "LOKR", "IA3", "OFT", "BOFT", "VERA", "ADALORA", "HRA"}
"""Types that change layers and nothing else. Those that put learned tokens before a prompt would
move every position of the cache of beginnings."""


def adapter_digest(folder: Path) -> str:
    """SHA-256 over an adapter's weights and configuration.

    Raises:
        ModelLoadError: the folder has no safetensors; a pickle runs code when it is read.
    """
    weights, config = folder / _WEIGHTS, folder / _CONFIG
    if not config.is_file():
        raise ModelLoadError(f"{config}: no such file", hint="a folder that PEFT has saved")
    if not weights.is_file():
        pickled = folder / "adapter_model.bin"
        raise ModelLoadError(
            f"{weights}: no such file"
            + (f"; {pickled.name} is a pickle and is not read" if pickled.is_file() else ""),
            hint="save it with PEFT's save_pretrained, which writes safetensors",
        )
    return digest_json([file_digest(weights), file_digest(config)])


@contextmanager
def quiet_peft() -> Iterator[None]:
    """peft 0.21 asks transformers 5.23 for a property that the latter calls deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        yield


class Adapters:
    """The adapters of one base model.

    Args:
        module: the base model; its layers are wrapped when the first adapter is loaded.
    """

    def __init__(self, module: Any) -> None:
        self._base = module
        self._peft: Any = None
        self._active: str | None = None

    def load(self, folder: Path, digest: str) -> None:
        """Put an adapter on the model, unless it is there.

        Args:
            digest: its name from then on.

        Raises:
            BackendError: peft is not installed.
            ModelLoadError: it is no adapter for this model, or of a type that is not supported.
        """
        try:
            from peft import PeftConfig, PeftModel
        except ImportError as exc:
            raise BackendError(
                "peft is not installed", hint="pip install 'local-model-gateway[transformers]'"
            ) from exc
        if self._peft is not None and digest in self._peft.peft_config:
            return
        try:
            kind = str(PeftConfig.from_pretrained(str(folder)).peft_type.value)
            if kind not in _IN_PLACE:
                raise ModelLoadError(
                    f"{folder}: adapters of type {kind} are not supported",
                    hint=f"supported: {', '.join(sorted(_IN_PLACE))}",
                )
            with quiet_peft():
                if self._peft is None:
                    self._peft = PeftModel.from_pretrained(
                        self._base, str(folder), adapter_name=digest, is_trainable=False
                    )
                else:
                    self._peft.load_adapter(str(folder), adapter_name=digest, is_trainable=False)
        except (ValueError, RuntimeError, KeyError, OSError, TypeError) as exc:
            raise ModelLoadError(
                f"{folder}: can not be loaded onto this base model: {exc}",
                hint="an adapter fits only the base model that it was trained on",
            ) from exc

    def select(self, digest: str | None) -> None:
        """Compute the next passes with this adapter, or with none."""
        if digest is not None and digest != self._active:
            self._peft.set_adapter(digest)
            self._peft.requires_grad_(False)
        self._active = digest

    def switched(self) -> AbstractContextManager[Any]:
        """The block in which passes compute as was selected."""
        if self._active is None and self._peft is not None:
            return self._peft.disable_adapter()  # type: ignore[no-any-return]
        return nullcontext()
