"""Base and adapter as one model: a folder of safetensors that needs no PEFT to be run."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomlkit

from gateway.backends.transformers.adapter_folder import tokens_of
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.core.extras import require
from gateway.engine.llama.tokenizer_export import PROBES, end_tokens_of, tokenizer_of
from gateway.models.adapters.base import Base
from gateway.models.adapters.check import misfits
from gateway.models.adapters.folder import Adapter
from gateway.models.adapters.kinds import BEGINNINGS
from gateway.models.gguf import GGUF
from gateway.models.spec import NAMED, ModelSpec


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
        ModelLoadError: the adapter does not fit the base, PEFT cannot merge it, or what is saved
            does not compute what base and adapter compute.
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
    from gateway.backends.transformers import proof
    from gateway.backends.transformers.library import load

    load()  # With the settings that keep bytes equal, and an error that says what is missing.
    say(f"loading {base.name}")
    tokenizer = _tokenizer(path, say)
    on_torch = TransformersSpec.like(spec)
    merged, before, wanted = _added(_loaded(path, on_torch), adapter, say)
    if path.is_file():
        merged.generation_config.eos_token_id = end_tokens_of(path)
    say(f"saving to {target}")
    with _appearing(target) as made:
        merged.save_pretrained(made)
        tokenizer.save_pretrained(made)
        del merged  # Two models would need twice the memory.
        say("proving it")
        found = proof.logits(_loaded(made, on_torch), tokens_of(adapter.folder))
        figures = proof.compare(before, wanted, found, on_torch.dtype)
        say(str(proof.require(figures, adapter.folder)))
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
    if spec.chat_template == "plain" or spec.chat_template.startswith(NAMED):
        table.add("chat_template", spec.chat_template.removeprefix(NAMED))
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


def _loaded(path: Path, spec: TransformersSpec) -> Any:
    from gateway.backends.transformers.loading import load_unpacked

    return load_unpacked(path, dtype=spec.dtype, device=spec.device)


def _added(module: Any, adapter: Adapter, say: Callable[[str], None]) -> tuple[Any, Any, Any]:
    """The merged model, and logits of the base and of base and adapter before they were merged."""
    require("peft")
    from gateway.backends.transformers import proof
    from gateway.backends.transformers.loading import ERRORS
    from gateway.backends.transformers.peft_loading import merge_in, put_first

    say(f"merging {adapter.name}")
    also = tokens_of(adapter.folder)
    try:
        before = proof.logits(module, also)
        model = put_first(module, adapter.folder, "default")
        wanted = proof.logits(module, also)
        return merge_in(model), before, wanted
    except ERRORS as exc:
        raise ModelLoadError(f"{adapter.folder}: PEFT cannot merge it: {exc}") from exc


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A folder to be filled, which gets its name when the block ends without an error."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".merge-") as scratch:
            made = Path(scratch) / "merged"
            yield made
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
