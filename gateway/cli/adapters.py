"""`gateway adapters`: what they are, whether they fit, and making models and files of them."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import option
from gateway.cli.common import FAILED, err, note, note_none, out, show, tell
from gateway.cli.outputs import check_file, check_folder

if TYPE_CHECKING:
    from gateway.models.adapters.base import Base
    from gateway.models.adapters.folder import Adapter
    from gateway.models.spec import ModelSpec

adapters_app = typer.Typer(
    no_args_is_help=True,
    help="Fine-tuned adapters of PEFT: what they are, and what they fit.\n\n"
    "An adapter is run with every command that takes models, as ENTRY+ADAPTER: "
    "gateway run -m smollm2-135m-torch,smollm2-135m-torch+mine ...",
)

NameArgument = Annotated[str, typer.Argument(help="Name of the adapter: of its folder.")]
BaseOption = Annotated[
    str, typer.Option("--base", help="Entry of the base model (gateway models list).")
]


@adapters_app.command("list")
def adapters_list(adapters: option.Adapters = None) -> None:
    """All adapters: type, rank, base, what they were trained on, how they did.

    What a card does not say is unknown. A folder that cannot be read is listed with the reason.

    [bold]gateway adapters list --adapters ./adapters[/]
    """
    from gateway.models.adapters.names import listed, shipped_beside
    from gateway.report.pages import adapters as page

    root = _root(adapters)
    if listed(root) or shipped_beside(root):
        show(page.listing(root))
    if not listed(root):
        note_none(
            f"adapters in {root}",
            "gateway tune -n NAME -t TASK --train FILE",
            "copy a folder that PEFT saved into it",
        )


@adapters_app.command("show")
def adapters_show(name: NameArgument, adapters: option.Adapters = None) -> None:
    """An adapter's card, configuration, tensors and sizes.

    [bold]gateway adapters show mine[/]
    """
    from gateway.models.adapters.names import folder_of, is_probe
    from gateway.report.pages import adapters as page

    folder = folder_of(_root(adapters), name)
    show(page.probe_details(folder) if is_probe(folder) else page.details(_read(name, adapters)))


@adapters_app.command("check")
def adapters_check(
    name: NameArgument,
    base: BaseOption,
    adapters: option.Adapters = None,
    models_file: option.Models = None,
) -> None:
    """Is this adapter for this base? If not, all the reasons.

    Compared are what the card records of the base (digest of the contents, architecture, hidden
    size) and every tensor with the module that it names. No weights are loaded.

    Exit code 0: it fits. Exit code 1: it does not.

    [bold]gateway adapters check mine --base smollm2-135m-torch[/]
    """
    from gateway.models.adapters.check import remarks, why_not
    from gateway.models.adapters.names import folder_of
    from gateway.report.pages import adapters as page

    folder = folder_of(_root(adapters), name)
    _, _, facts = _base(base, models_file)
    reasons = why_not(folder, facts)
    show(page.fit(name, base, reasons, remarks(folder)))
    raise typer.Exit(FAILED if reasons else 0)


@adapters_app.command("merge")
def adapters_merge(
    name: NameArgument,
    base: BaseOption,
    output: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Folder of the merged model, absent or empty; or a file that ends in .gguf.",
        ),
    ],
    kind: Annotated[
        str, typer.Option("--type", help="Of the weights in a GGUF: f16 or f32.")
    ] = "f16",
    adapters: option.Adapters = None,
    models_file: option.Models = None,
) -> None:
    """Make one model of base and adapter: a folder that needs no PEFT to be run.

    Works for every type of adapter that changes weights. A GGUF as the base is dequantized, so
    the folder is larger than the file. Written are safetensors, configuration and tokenizer;
    printed is the entry for your models.toml.

    [bold]gateway adapters merge mine --base smollm2-135m-torch --out merged[/]

    A LoRA on a GGUF becomes a GGUF, of which gateway quantize makes a ladder:

    [bold]gateway adapters merge mine --base smollm2-135m --out merged.gguf[/]
    """
    from gateway.models.gguf import GGUF
    from gateway.tuning.export import merge as merging

    if output.suffix == GGUF:
        _merge_gguf(name, adapters, base, output, kind.upper(), models_file)
        return
    check_folder(output)
    merging.check_target(output)
    adapter = _read(name, adapters)
    spec, path, facts = _base(base, models_file)
    _note_other_weights(adapter, facts)
    made = merging.merge(adapter, facts, spec, path, output, note)
    out.file.write(merging.entry(adapter, spec, made))


def _merge_gguf(
    name: str,
    adapters: Path | None,
    base: str,
    output: Path,
    kind: str,
    models_file: Path | None,
) -> None:
    from gateway.cli.progress import staged
    from gateway.core.errors import ConfigError
    from gateway.tuning.export.merge import entry
    from gateway.tuning.export.merge_gguf import KINDS, check_new, merge_gguf
    from gateway.tuning.export.proof import Prover

    if kind not in KINDS:
        raise ConfigError(f"--type {kind.lower()} is not known", hint="known: f16, f32")
    check_new(output)
    check_file(output)
    adapter = _read(name, adapters)
    spec, path, facts = _base(base, models_file)
    _note_other_weights(adapter, facts)
    prover = Prover(adapter, facts, spec, path, note)
    with staged(err) as begin:
        begun = partial(begin, "tensors")
        prove = partial(prover.merged, kind=kind)
        made = merge_gguf(adapter, facts, path, output, kind, begun, prove)
    out.file.write(entry(adapter, spec, made))


@adapters_app.command("export")
def adapters_export(
    name: NameArgument,
    base: BaseOption,
    output: Annotated[
        Path | None,
        typer.Option("--out", help="GGUF file \\[default: adapter.gguf in the adapter's folder]."),
    ] = None,
    adapters: option.Adapters = None,
    models_file: option.Models = None,
) -> None:
    """Write a LoRA as a GGUF file, which llama.cpp loads onto a GGUF of the base.

    DoRA, biases, whole modules and other types than LoRA have no place in such a file and are
    refused by name; gateway adapters merge takes them. The file fits the base in any quantization,
    but beside a card it is run only on the weights that the card records. To try it on others,
    write it elsewhere with --out, and name it in an entry of its own.

    [bold]gateway adapters export mine --base smollm2-135m[/]

    [bold]gateway ask -m smollm2-135m+mine "Name three colours."[/]
    """
    from gateway.models.adapters.names import EXPORTED
    from gateway.tuning.export.export import export
    from gateway.tuning.export.proof import Prover

    check_file(output)
    adapter = _read(name, adapters)
    target = output or adapter.folder / EXPORTED
    check_file(target)
    spec, path, facts = _base(base, models_file)
    _note_other_weights(adapter, facts)
    made = export(adapter, facts, target, Prover(adapter, facts, spec, path, note).exported)
    note(f"{made.tensors} tensors changed, alpha {made.alpha:g}")
    tell(str(made.path))


def _root(given: Path | None) -> Path:
    from gateway.core.errors import ConfigError
    from gateway.models.environment import adapters_root

    if given is not None and not given.is_dir():
        raise ConfigError(f"{given}: no such folder")
    return given or adapters_root()


def _read(name: str, adapters: Path | None) -> "Adapter":
    from gateway.core.errors import ConfigError
    from gateway.models.adapters.folder import read_adapter
    from gateway.models.adapters.names import folder_of, is_probe

    folder = folder_of(_root(adapters), name)
    if is_probe(folder):
        raise ConfigError(
            f"{name} is a probe, which is neither merged nor exported: it is run as it is",
            hint=f"ENTRY+{name} is a model in every command",
        )
    return read_adapter(folder)


def _base(name: str, models_file: Path | None) -> tuple["ModelSpec", Path, "Base"]:
    """Entry, place and facts of the model that an adapter is to fit."""
    from gateway.backends.registry import load_models
    from gateway.core.errors import ConfigError
    from gateway.models.adapters.base import read_base
    from gateway.models.locate import locate

    spec = load_models(models_file).get(name)
    if not spec.can.adapters:
        raise ConfigError(f"{name}: no base: its backend {spec.backend} runs no adapters of PEFT")
    if spec.adapter is not None:
        raise ConfigError(f"{name}: no base, but a base with an adapter: {spec.adapter}")
    path = locate(spec)
    with err.status(f"reading {name}"):
        return spec, path, read_base(spec, path)


def _note_other_weights(adapter: "Adapter", facts: "Base") -> None:
    from gateway.models.adapters.check import other_weights

    if reason := other_weights(adapter.card, facts.digest, facts.first):
        note(f"note: {reason}")
