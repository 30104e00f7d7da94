"""PEFT adapters on a loaded model: any number on one base, one of them, or none, in a pass.

Adapters of one type share the base's layers. PEFT puts another type on layers of its own, so that
one of another type takes another copy of the base (see `Adapters.takes`); those that only put a
beginning before the prompt change no layer and go with any.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.backends.transformers import proof
from gateway.backends.transformers.adapter_folder import (
    adapter_kind,
    quiet_peft,
    tokens_of,
)
from gateway.backends.transformers.loading import ERRORS
from gateway.backends.transformers.peft_loading import (
    merge_in,
    put_beside,
    put_first,
    refuse_base_weights,
)
from gateway.backends.transformers.soft_prompt import Beginning, read_beginning
from gateway.core.errors import ModelLoadError
from gateway.core.extras import require
from gateway.models.adapters.kinds import BEGINNINGS


class Adapters:
    """The adapters of one base model. Passes are computed as `select` or `mixed` says.

    Args:
        module: the base model; its layers are wrapped when the first adapter is loaded.
        layers: how many it has.
    """

    def __init__(self, module: Any, layers: int) -> None:
        self._base = module
        self._layers = layers
        self._peft: Any = None
        self._active: str | None = None
        self.changes = 0
        """How often layers were put on the model or taken off it."""
        self._users: Counter[str] = Counter()
        self._beginnings: dict[str, Beginning] = {}

    def takes(self, kind: str) -> bool:
        """Whether an adapter of this type can be loaded beside those that are there."""
        on_layers = [str(c.peft_type.value) for c in self._configs().values()]
        return kind in BEGINNINGS or not on_layers or on_layers[0] == kind

    def load(self, folder: Path, digest: str, *, shared: bool = True) -> None:
        """Put an adapter on the model, unless it is there.

        Args:
            digest: its name from then on.
            shared: others use the base; it must stay as it is.

        Raises:
            MissingExtra: peft is not installed.
            ModelLoadError: it is no adapter for this model, or of a type that is not supported.
        """
        if not self._users[digest]:
            kind = adapter_kind(folder)
            require("peft")
            self.select(None)
            self.changes += 1
            try:
                if kind in BEGINNINGS:
                    self._beginnings[digest] = read_beginning(self._base, self._layers, folder)
                else:
                    if shared:
                        refuse_base_weights(self._base, folder)
                    self._put(folder, digest)
            except ERRORS as exc:
                said = f"it lacks {exc.args[0]}" if isinstance(exc, KeyError) else exc
                raise ModelLoadError(
                    f"{folder}: cannot be loaded onto this base model: {said}",
                    hint="an adapter fits only the base model that it was trained on",
                ) from exc
        self._users[digest] += 1

    def merge(self, folder: Path, digest: str) -> None:
        """Add an adapter to the base's weights for good.

        Raises:
            ModelLoadError: as `load`; or merged it is another model than base and adapter.
        """
        self.load(folder, digest, shared=False)
        if digest in self._beginnings:
            raise ModelLoadError(f"{folder}: it changes no weights, so it cannot be merged")
        also = tokens_of(folder)
        base = proof.logits(self._base, also)
        self.select(digest)
        wanted = proof.logits(self._base, also)
        # In the place of each layer, so that the base stays the same object.
        try:
            merge_in(self._peft)
        except ERRORS as exc:
            raise ModelLoadError(f"{folder}: PEFT cannot merge it: {exc}") from exc
        self._peft = self._active = None
        self._users.clear()
        dtype = str(self._base.dtype).removeprefix("torch.")
        found = proof.logits(self._base, also)
        proof.require(proof.compare(base, wanted, found, dtype), folder)

    def give_back(self, digest: str) -> None:
        """Take an adapter off the model when the last who loaded it gives it back."""
        self._users[digest] -= 1
        if self._users[digest]:
            return
        del self._users[digest]
        if self._beginnings.pop(digest, None) is None:
            self.select(None)
            self.changes += 1
            with quiet_peft():
                self._peft.delete_adapter(digest)
            if not self._peft.peft_config:
                self._peft.unload()
                self._peft = None

    def beginning(self, digest: str | None) -> Beginning | None:
        """What the adapter puts before every prompt, if that is what it does."""
        return self._beginnings.get(digest) if digest else None

    def select(self, digest: str | None) -> None:
        """Compute the next passes with this adapter, or with none."""
        wanted = None if digest in self._beginnings else digest
        if wanted == self._active:
            return
        if wanted is None:
            self._peft.base_model.disable_adapter_layers()
        else:
            if self._active is None:
                self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(wanted, inference_mode=True)
        self._active = wanted

    def mix(self, digests: Sequence[str | None]) -> bool:
        """Whether one pass can compute each row with its own: PEFT can for LoRA without DoRA."""
        if self._peft is None or _is_wrapped(self._base.get_output_embeddings()):
            return False
        configs = self._configs()
        return all(d is None or (d in configs and _mixes(configs[d])) for d in digests)

    @contextmanager
    def mixed(self, digests: Sequence[str | None]) -> Iterator[None]:
        """The block in which each row is computed with its own adapter, or with none."""
        self.select(next(d for d in digests if d is not None))
        names = [d or "__base__" for d in digests]
        with self._peft._enable_peft_forward_hooks(adapter_names=names):
            yield

    def _configs(self) -> dict[str, Any]:
        return {} if self._peft is None else dict(self._peft.peft_config)

    def _put(self, folder: Path, digest: str) -> None:
        try:
            if self._peft is None:
                self._peft = put_first(self._base, folder, digest)
            else:
                put_beside(self._peft, folder, digest)
        finally:
            # Also where it was refused: PEFT makes one of the others active then.
            if self._peft is not None:
                self._peft.base_model.disable_adapter_layers()
            self._active = None


def _mixes(config: Any) -> bool:
    return (
        config.peft_type.value == "LORA"
        and not config.use_dora
        and not config.modules_to_save
        and not getattr(config, "trainable_token_indices", None)
    )


def _is_wrapped(module: Any) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    return isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper)
