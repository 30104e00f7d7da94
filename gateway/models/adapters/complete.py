"""Whether a LoRA has the tensors that its configuration asks for, no fewer and no more.

PEFT puts a pair on every layer that the configuration names, and then fills it from the file. Which
layers it names is compared with the base's: peft 0.21, `check_target_module_exists`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.core.lists import first_names
from gateway.models.adapters.base import HEAD, Base
from gateway.models.adapters.folder import Adapter

_PAIRS = ({"lora_A", "lora_B"}, {"lora_embedding_A", "lora_embedding_B"})
_MAGNITUDE = "lora_magnitude_vector"
_ALL = "all-linear"
_NARROWED = ("layers_to_transform", "layers_pattern", "target_parameters", "exclude_modules")
"""Keys beside `target_modules` of which PEFT alone knows what they leave of it."""


def incomplete(adapter: Adapter, base: Base) -> Iterator[str]:
    """Reasons why PEFT would refuse the tensors of a LoRA; none: it takes them, or only it knows.

    Shapes and names are looked at elsewhere.
    """
    if adapter.config.peft_type != "LORA":
        return
    parts: dict[str, set[str]] = defaultdict(set)
    for tensor in adapter.tensors.values():
        parts[tensor.module].add(tensor.part)
    pairs = {module: own for module, own in parts.items() if own & set().union(*_PAIRS)}
    yield from _halves(pairs)
    config = adapter.config.model_extra or {}
    yield from _magnitudes(pairs, wanted=bool(config.get("use_dora")))
    yield from _other_layers(set(pairs), config, base)


def _halves(pairs: Mapping[str, set[str]]) -> Iterator[str]:
    for module, own in pairs.items():
        for pair in _PAIRS:
            if len(found := own & pair) == 1:
                yield f"it has {found.pop()} of {module}, and not the other of the pair"


def _magnitudes(pairs: Mapping[str, set[str]], *, wanted: bool) -> Iterator[str]:
    if wrong := [module for module, own in pairs.items() if (_MAGNITUDE in own) != wanted]:
        what = "says use_dora, and it lacks" if wanted else "does not say use_dora, and it has"
        yield f"its configuration {what} {_MAGNITUDE} of {first_names(wrong)}"


def _other_layers(found: set[str], config: Mapping[str, Any], base: Base) -> Iterator[str]:
    named = config.get("target_modules")
    if not named or not isinstance(named, str | list) or any(map(config.get, _NARROWED)):
        return
    # A module that is saved whole has no pair.
    whole = tuple(map(str, config.get("modules_to_save") or ()))
    wanted = {m for m in base.modules if _is_named(m, named) and not (whole and m.endswith(whole))}
    wanted -= {HEAD} if base.tied or named == _ALL else set()
    if missing := wanted - found:
        yield f"its configuration names {first_names(missing)}, of which it has no tensors"
    if more := {module for module in found - wanted if module in base.modules} - {HEAD}:
        yield f"it has tensors of {first_names(more)}, which its configuration does not name"


def _is_named(module: str, named: str | list[Any]) -> bool:
    if named == _ALL:
        return "norm" not in module and not module.endswith("embed_tokens")
    if isinstance(named, str):
        return re.fullmatch(named, module) is not None
    return any(module == each or module.endswith(f".{each}") for each in map(str, named))
