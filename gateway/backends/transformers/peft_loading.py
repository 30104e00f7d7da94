"""An adapter put on a model's layers by PEFT: all of its tensors, or none.

PEFT leaves out tensors that it has no place for, keeps fresh numbers where the file has none, and
goes on: such an adapter answers as the base does. Here what its loading lists is an error that
names the tensors, and the layers are afterwards what they were before.
"""

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.backends.transformers.adapter_folder import WEIGHTS, quiet_peft, read_config
from gateway.core.errors import ModelLoadError
from gateway.core.lists import first_names
from gateway.models.adapters.config_keys import moves_the_base

_SHARED = "vblora_vector_bank"
"""Of all layers, and saved once: PEFT lists it as missing in each of them."""


def put_first(module: Any, folder: Path, name: str) -> Any:
    """Put an adapter on the layers of a model that has none; PEFT's model around it.

    Raises:
        ModelLoadError: not all of its tensors have a place, or not all places a tensor.
        one of `loading.ERRORS`: PEFT cannot load it.
    """
    from peft import PeftModel

    # Left by one that was taken off again; PEFT would take it over.
    vars(module).pop("peft_config", None)
    before = dict(module.named_modules())
    try:
        with quiet_peft(), _reported(module) as result:
            # They are refused below.
            warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
            made = PeftModel.from_pretrained(
                module, str(folder), adapter_name=name, is_trainable=False
            )
        result.refuse(folder, name)
    except Exception:
        _put_back(module, before)
        raise
    return made


def put_beside(model: Any, folder: Path, name: str) -> None:
    """Put one more adapter on a model of PEFT. Raises as `put_first`."""
    try:
        with quiet_peft():
            found = model.load_adapter(str(folder), adapter_name=name, is_trainable=False)
        _Result(found.missing_keys, found.unexpected_keys).refuse(folder, name)
    except Exception:
        if name in model.peft_config:
            with quiet_peft():
                model.delete_adapter(name)
        raise


def merge_in(model: Any) -> Any:
    """Add the adapter of a model of PEFT to its layers for good; the base's model.

    An output layer that shares the embedding's weights gets its own where an adapter is on one of
    the two: as PEFT computes, what it adds to one is not added to the other.
    """
    _untie(model.get_base_model())
    with quiet_peft():
        merged = model.merge_and_unload(safe_merge=True)
    embedding, head = merged.get_input_embeddings(), merged.get_output_embeddings()
    if head is not None and head.weight is not embedding.weight:
        for config in (merged.config, merged.config.get_text_config()):
            config.tie_word_embeddings = False
    return merged


def _untie(module: Any) -> None:
    from torch.nn import Parameter

    embedding, head = module.get_input_embeddings(), module.get_output_embeddings()
    if head is None or not (_is_wrapped(embedding) or _is_wrapped(head)):
        return
    held = _plain_layer(head)
    if held.weight is _plain_layer(embedding).weight:
        held.weight = Parameter(held.weight.detach().clone(), requires_grad=False)


def _is_wrapped(layer: Any) -> bool:
    return _plain_layer(layer) is not layer


def _plain_layer(layer: Any) -> Any:
    """The base's own layer inside what PEFT has put around it."""
    for name in ("base_layer", "original_module"):
        if (inner := getattr(layer, name, None)) is not None:
            return _plain_layer(inner)
    return layer


def refuse_base_weights(module: Any, folder: Path) -> None:
    """Refuse an adapter that brings other weights of the base itself, for a base that is shared.

    PEFT saves an embedding or output layer whole where the adapter is on it or where tokens were
    added, and as it loads them it writes them over the base's.

    Some ways to start a LoRA (PiSSA, OLoRA) move a part of the base's weights into it, and PEFT
    moves it again as it loads one.

    Raises:
        ModelLoadError: they differ from the base's, or would.
    """
    if said := moves_the_base(read_config(folder)):
        raise ModelLoadError(
            f"{folder}: it changes the base's own weights, which other entries share: {said}",
            hint="adapter_merged = true gives the entry weights of its own",
        )
    if changed := sorted(_changed(module, folder)):
        raise ModelLoadError(
            f"{folder}: it changes the base's own weights, which other entries share: "
            f"{first_names(changed)}",
            hint="adapter_merged = true gives the entry weights of its own",
        )


def _changed(module: Any, folder: Path) -> Iterator[str]:
    import torch
    from safetensors import safe_open

    file = folder / WEIGHTS
    if not file.is_file():  # A pickle.
        return
    config = read_config(folder)
    own = _saved_whole(module, config)
    held = {_plain(name): value for name, value in module.state_dict().items()}
    with safe_open(file, framework="pt") as read:
        for name in map(str, read.keys()):
            plain = _plain(name.removeprefix("base_model.model."))
            base = held.get(plain)
            if base is None or _is_in(plain, own):
                continue
            there = read.get_tensor(name)
            if there.shape == base.shape and not torch.equal(there.to(base), base):
                yield plain


def _saved_whole(module: Any, config: Mapping[str, Any]) -> tuple[str, ...]:
    """How the paths of modules end of which the adapter has a copy of its own, beside the base's;
    of tied layers, with `ensure_weight_tying`, that is one of both."""
    own = tuple(map(str, config.get("modules_to_save") or ()))
    if own and config.get("ensure_weight_tying"):
        layers = (module.get_input_embeddings(), module.get_output_embeddings())
        tied = tuple(path for path, each in module.named_modules() if each in layers)
        own = (*own, *(tied if any(path.endswith(own) for path in tied) else ()))
    return own


def _is_in(name: str, modules: tuple[str, ...]) -> bool:
    """Whether a tensor is of one of these modules or inside one, as PEFT finds them: by how their
    paths end."""
    parts = name.split(".")[:-1]
    return bool(modules) and any(
        ".".join(parts[:end]).endswith(modules) for end in range(1, len(parts) + 1)
    )


def _plain(name: str) -> str:
    """A tensor's name on a base without adapters."""
    return name.replace(".base_layer.", ".").replace(".original_module.", ".")


@dataclass
class _Result:
    """What PEFT's loading lists, by the names of the layers' tensors."""

    missing: Collection[str] = field(default=())
    unexpected: Collection[str] = field(default=())

    def refuse(self, folder: Path, name: str) -> None:
        """Raise where it lists anything."""
        missing = [each.replace(f".{name}", "") for each in self.missing if _SHARED not in each]
        wrong = {"it lacks": missing, "this base model has no place for": self.unexpected}
        said = "; ".join(f"{what} {first_names(names)}" for what, names in wrong.items() if names)
        if said:
            raise ModelLoadError(
                f"{folder}: not the tensors of its configuration on this base model: {said}",
                hint="save it with PEFT's save_pretrained; gateway adapters check lists all "
                "that does not fit",
            )


@contextmanager
def _reported(module: Any) -> Iterator[_Result]:
    """What is listed as an adapter is put on: `PeftModel.from_pretrained` does not return it.

    torch hands the two lists to the hooks of every module, and PEFT shortens them in place.
    """
    result = _Result()

    def keep(_: Any, listed: Any) -> None:
        result.missing, result.unexpected = listed.missing_keys, listed.unexpected_keys

    hook = module.register_load_state_dict_post_hook(keep)
    try:
        yield result
    finally:
        hook.remove()


def _put_back(module: Any, before: dict[str, Any]) -> None:
    """Make the layers what they were; PEFT keeps them, wrapped."""
    for path, each in before.items():
        parent, _, name = path.rpartition(".")
        if path and getattr(before[parent], name) is not each:
            setattr(before[parent], name, each)
