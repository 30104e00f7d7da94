"""A folder that PEFT has saved: what it is, before anything of it is loaded."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.core.digests import digest_json, file_digest
from gateway.core.errors import ModelLoadError
from gateway.core.lfs import refuse_pointer
from gateway.models.adapters import config_keys
from gateway.models.adapters.folder import read_peft_config
from gateway.models.adapters.kinds import BEGINNINGS, SUPPORTED
from gateway.models.shards import refuse_broken

WEIGHTS = "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"
PICKLE_WORDS = 'adapter_pickle = "I trust who made it"'
_CONFIG = "adapter_config.json"


def adapter_digest(folder: Path, *, pickles: bool = False) -> str:
    """SHA-256 over an adapter's weights and configuration.

    Args:
        pickles: take a pickle where there are no safetensors.

    Raises:
        ModelLoadError: the folder has no safetensors; a pickle runs code when it is read.
    """
    weights, config = folder / WEIGHTS, folder / _CONFIG
    if not config.is_file():
        raise ModelLoadError(f"{config}: no such file", hint="a folder that PEFT has saved")
    if not weights.is_file():
        pickled = folder / _PICKLE
        if not pickled.is_file():
            raise ModelLoadError(f"{weights}: no such file", hint="a folder that PEFT has saved")
        if not pickles:
            raise ModelLoadError(
                f"{pickled} is a pickle and is not read: reading one can run any code",
                hint="save it with a newer PEFT, which writes safetensors, or, if you trust who "
                f"made it, write {PICKLE_WORDS} in the entry",
            )
        weights = pickled
    else:
        refuse_broken(weights)
    return digest_json([file_digest(weights), file_digest(config)])


def adapter_kind(folder: Path) -> str:
    """The adapter's type.

    Raises:
        ModelLoadError: it is none that can be run, with the reason.
        ConfigError: a value of its configuration is none that the key can have.
    """
    config = read_config(folder)
    kind = str(config.get("peft_type"))
    if kind not in SUPPORTED:
        supported = ", ".join(sorted(SUPPORTED))
        raise ModelLoadError(
            f"{folder}: adapters of type {kind} are not supported", hint=f"supported: {supported}"
        )
    read_peft_config(folder / _CONFIG)
    if unknown := config_keys.refusals(config):
        raise ModelLoadError(
            f"{folder}: {unknown[0]}",
            hint="take the key out of adapter_config.json only if it was trained without it",
        )
    if config.get("bias") not in (None, "none", False):
        raise ModelLoadError(
            f"{folder}: it changes the base's biases (bias = {config['bias']!r}), which other "
            "entries share",
            hint="merge it (gateway adapters merge) and load the merged model",
        )
    if config.get("alora_invocation_tokens"):
        raise ModelLoadError(
            f"{folder}: an activated LoRA begins in the middle of a prompt, which is not supported"
        )
    if config.get("layer_replication"):
        raise ModelLoadError(
            f"{folder}: it repeats layers of the base (layer_replication), which other entries "
            "share; that is not supported"
        )
    if kind in BEGINNINGS and config.get("modules_to_save"):
        raise ModelLoadError(f"{folder}: {kind} with modules_to_save is not supported")
    return kind


def read_config(folder: Path) -> Mapping[str, Any]:
    """What PEFT wrote of it. Raises ModelLoadError where that cannot be read."""
    file = folder / _CONFIG
    refuse_pointer(file)
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelLoadError(f"{file}: no such file", hint="a folder that PEFT has saved") from None
    except (OSError, ValueError) as exc:
        raise ModelLoadError(f"{file}: cannot be read: {exc}") from exc
    if not isinstance(read, dict):
        raise ModelLoadError(f"{file}: no configuration of PEFT")
    return read


def tokens_of(folder: Path) -> list[int]:
    """Tokens that an adapter changes alone, as far as its configuration lists them."""
    config = read_config(folder)
    said = config.get("trainable_token_indices") or config.get("token_indices") or []
    listed = said.values() if isinstance(said, dict) else [said]
    return [each for some in listed for each in some if isinstance(each, int)]


_OF_TIED_WEIGHTS = (
    "Model (has|with) `tie_word_embeddings=True`",
    ".*ensure_weight_tying",
    "Input and output embeddings are no longer tied",
    "Setting `save_embedding_layers`",
)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without what peft 0.21 says of others' business.

    A property of transformers that it asks for itself; the CUDA kernel that BOFT can do without and
    the factor that it sets; the norms that LN tuning is for; which adapter it takes for active when
    one is deleted; what may go wrong with tied weights, which `proof` sees.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        warnings.filterwarnings("ignore", "Failed to load the CUDA extension", UserWarning)
        warnings.filterwarnings("ignore", "Setting boft_n_butterfly_factor", UserWarning)
        warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)
        warnings.filterwarnings("ignore", ".*was active which is now deleted", UserWarning)
        # PEFT corrects it by itself.
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to", UserWarning)
        warnings.filterwarnings("error", "target_parameters=", RuntimeWarning)
        # `config_keys` tells of them, or has refused them.
        warnings.filterwarnings("ignore", "Unexpected keyword arguments", UserWarning)
        for said in _OF_TIED_WEIGHTS:
            warnings.filterwarnings("ignore", said, UserWarning)
        yield
