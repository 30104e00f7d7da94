"""Base and adapter as one model: a folder of safetensors that needs no PEFT to be run."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomlkit

from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.core.extras import require
from gateway.engine.llama.tokenizer_export import PROBES, end_tokens_of, tokenizer_of
from gateway.models.adapters.base import EMBEDDING, HEAD, Base
from gateway.models.adapters.check import misfits
from gateway.models.adapters.folder import Adapter
from gateway.models.adapters.kinds import BEGINNINGS
from gateway.models.gguf import GGUF
from gateway.models.spec import ModelSpec


def merge(
    adapter: Adapter,
    base: Base,
    spec: ModelSpec,
    path: Path,
    target: Path,
    say: Callable[[str], None],
) -> Path:
    """Add an adapter to its base's weights, and save them with configuration and tokenizer.

    A GGUF is dequantized first; its tokenizer is that of `tokenizer_export`. Numbers are
    added in the entry's dtype, in which they are also saved.

    Args:
        spec, path: the base's entry and where its weights are.
        target: a folder that is absent or empty; it appears when it is whole.
        say: is told each step as it begins.

    Raises:
        ConfigError: the folder is not empty or cannot be written, or the adapter changes no
            weights.
        ModelLoadError: the adapter does not fit the base, or PEFT cannot merge it.
        MissingExtra: torch, transformers or peft is not installed.
    """
    check_target(target)
    if adapter.config.peft_type in BEGINNINGS:
        raise ConfigError(
            f"{adapter.folder}: {adapter.config.peft_type} changes no weights, so that there is "
            "nothing to merge",
            hint="run it as ENTRY+ADAPTER, on an entry that runs on torch",
        )
    if reasons := misfits(adapter, base):
        raise ModelLoadError(
            f"{adapter.folder} does not fit {base.name}: {reasons[0]}",
            hint="gateway adapters check lists all reasons",
        )
    from gateway.backends.transformers.library import load
    from gateway.backends.transformers.model import TorchModel

    load()  # With the settings that keep bytes equal, and an error that says what is missing.
    say(f"loading {base.name}")
    tokenizer = _tokenizer(path, say)
    on_torch = TransformersSpec.like(spec)
    model = TorchModel(path, dtype=on_torch.dtype, device=on_torch.device)
    try:
        if base.tied and _changes_a_tied_weight(adapter):
            _untie(model.module)
        say(f"merging {adapter.name}")
        merged = _added(model.module, adapter.folder)
        if path.is_file():
            merged.generation_config.eos_token_id = end_tokens_of(path)
        say(f"saving to {target}")
        _save(merged, tokenizer, target)
    finally:
        model.close()
    return target


def check_target(target: Path) -> None:
    """Raise ConfigError for a file or a folder with something in it: before minutes of work."""
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise ConfigError(f"{target}: is there already, and not an empty folder")


def entry(adapter: Adapter, spec: ModelSpec, merged: Path) -> str:
    """An entry of models.toml for a merged model, with the base's own settings that it needs.

    Args:
        merged: a folder, which is run on torch, or a GGUF, which is run in llama.cpp.
    """
    table = tomlkit.table()
    table.add("description", f"{spec.name} with the adapter {adapter.name} merged")
    if on_torch := merged.suffix != GGUF:
        table.add("backend", TransformersSpec.backend)
    inline = tomlkit.inline_table()
    inline.update({"path": str(merged.resolve())})
    table.add("source", inline)
    table.add("context_length", spec.context_length)
    if on_torch and (dtype := TransformersSpec.like(spec).dtype) != "float32":
        table.add("dtype", dtype)
    if spec.chat_template == "plain":
        table.add("chat_template", "plain")
    elif spec.chat_template:
        table.add(tomlkit.comment(f"chat_template: the file that {spec.origin} names"))
    if spec.system != "auto":
        table.add("system", spec.system)
    if spec.end_of_turn:
        table.add("end_of_turn", spec.end_of_turn)
    models = tomlkit.table(is_super_table=True)
    models.add(f"{spec.name}-{adapter.name}", table)
    document = tomlkit.document()
    document.add("models", models)
    return tomlkit.dumps(document)


def _changes_a_tied_weight(adapter: Adapter) -> bool:
    return any(tensor.module in (EMBEDDING, HEAD) for tensor in adapter.tensors.values())


def _untie(module: Any) -> None:
    """Give the output layer weights of its own: what is added to it is not for the embedding."""
    from torch.nn import Parameter

    head = module.get_output_embeddings()
    head.weight = Parameter(head.weight.detach().clone(), requires_grad=False)
    module.config.tie_word_embeddings = False


def _added(module: Any, folder: Path) -> Any:
    require("peft")
    from gateway.backends.transformers.adapter_folder import quiet_peft
    from gateway.backends.transformers.loading import ERRORS
    from gateway.backends.transformers.peft_loading import put_first

    try:
        loaded = put_first(module, folder, "default")
        with quiet_peft():
            return loaded.merge_and_unload(safe_merge=True)
    except ERRORS as exc:
        raise ModelLoadError(f"{folder}: PEFT cannot merge it: {exc}") from exc


def _save(module: Any, tokenizer: Any, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".merge-") as scratch:
            made = Path(scratch) / "merged"
            module.save_pretrained(made)
            tokenizer.save_pretrained(made)
            if target.is_dir():
                target.rmdir()
            made.rename(target)
    except OSError as exc:
        raise ConfigError(f"{target}: cannot be written: {exc.strerror or exc}") from exc


def _tokenizer(path: Path, say: Callable[[str], None]) -> Any:
    if path.is_file():
        made, differing = tokenizer_of(path)
        if differing:
            say(
                f"warning: the tokenizer made of {path.name} reads {len(differing)} of "
                f"{len(PROBES)} test texts otherwise than llama.cpp; put tokenizer.json of the "
                "original model into the folder"
            )
        return made
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as exc:
        raise ModelLoadError(f"{path}: no tokenizer: {exc}") from exc
