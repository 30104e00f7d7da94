"""`gateway models`: the entries, their files, and the models of an Ollama."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import option
from gateway.cli.common import FAILED, err, listed, note, note_none, out, show, tell, wait
from gateway.cli.outputs import check_file, check_folder
from gateway.core.extras import require_extra

if TYPE_CHECKING:
    from gateway.models.file import Models
    from gateway.models.spec import ModelSpec

_SMALL_BYTES = 500_000_000
"""Of weights whose settings are chosen unasked when they are pulled."""

models_app = typer.Typer(no_args_is_help=True, help="The models that the gateway knows.")


@models_app.command("list")
def models_list(
    ollama: Annotated[
        bool, typer.Option("--ollama", help="The models of the Ollama server instead.")
    ] = False,
    models_file: option.Models = None,
) -> None:
    """All entries, and whether their files are on this machine.

    With [bold]--ollama[/] the models of the Ollama server, which need no entry: every command takes
    them by the name that is listed, such as ollama:llama3.2:1b.
    """
    from gateway.backends.registry import load_models
    from gateway.report.pages import models as page

    if ollama:
        _list_on_ollama()
    else:
        show(page.listing(load_models(models_file)))


def _list_on_ollama() -> None:
    require_extra("ollama")
    from gateway.backends.ollama.client import server_at
    from gateway.report.pages import ollama_models as page

    show(wait(page.listing(server_at())))


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="Name of the entry.")],
    models_file: option.Models = None,
) -> None:
    """What an entry is, what its file holds, and what makes its identity."""
    from gateway.backends.registry import load_models
    from gateway.report.pages import model as page

    models = load_models(models_file).serving([name])
    show(wait(page.section(models.get(name))))


@models_app.command("pull")
def models_pull(
    name: Annotated[str | None, typer.Argument(help="Name; absent: the default model.")] = None,
    levels: Annotated[
        str,
        typer.Option(
            "--as",
            help="Make these levels of the pulled file too, each an entry of your models.toml: "
            "Q4_0,Q8_0.",
        ),
    ] = "",
    tune: Annotated[
        bool | None,
        typer.Option(
            "--tune/--no-tune",
            help="Choose the fastest settings with which no byte changes here, as gateway certify "
            "--fastest does: of the default model in two or three minutes. \\[default: of what is "
            "pulled anew and of levels that are made, not of what is here]",
        ),
    ] = None,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
) -> None:
    """Fetch a model's file and check its sha256. One that is here already is left as it is.

    [bold]gateway models pull smollm2-135m --as Q4_0[/]

    A level of a file that is quantized already is made of its dequantized weights, and can be no
    better than it: gateway ab says whether scores are equivalent.

    The fastest settings of what is new are chosen at once, where llama.cpp runs it and it is small
    (500 MB). What was pulled before keeps its settings, and its bytes.

    [bold]gateway models pull ollama:llama3.2:1b[/] has the Ollama server fetch it.
    """
    from gateway.core.errors import ModelNotPulled
    from gateway.models.environment import models_root
    from gateway.models.locate import locate
    from gateway.models.pull import pull

    models = _known(models_file, levels).serving([name] if name else [])
    spec = models.get(name or models.default)
    made = _levels(spec, levels, tune=bool(tune))
    is_new = False
    if spec.can.on_a_server:
        got = _pull_on_ollama(spec)
    else:
        try:
            got = str(locate(spec))
        except ModelNotPulled:
            check_folder(models_root(), "GATEWAY_DATA")
            got, is_new = str(pull(spec)), True
    tell(got)
    if levels:
        from gateway.cli.quantization import quantize

        quantize(spec.name, levels, models_file=models_file, quiet=quiet)
    unasked = bool(levels) or (is_new and tune is None and _is_tuned_unasked(spec))
    if unasked if tune is None else tune:
        for entry in made or (spec.name,):
            _tune(entry, models_file, asked=bool(tune), quiet=quiet)


def _is_tuned_unasked(spec: "ModelSpec") -> bool:
    """Whether something can be chosen for what was pulled, in minutes and not in hours."""
    from gateway.backends.llama_cpp.spec import LlamaCppSpec
    from gateway.models.gguf_parts import files_of
    from gateway.models.locate import locate

    if not isinstance(spec, LlamaCppSpec) or not spec.chooses:
        return False
    small = sum(part.stat().st_size for part in files_of(locate(spec))) <= _SMALL_BYTES
    if not small:
        note(f"gateway models pull {spec.name} --tune chooses its fastest settings on this machine")
    return small


def _known(models_file: Path | None, levels: str) -> "Models":
    """All entries; levels are written into a file that need not be there yet."""
    from gateway.backends.registry import load_models

    if not levels:
        return load_models(models_file)
    from gateway.models.environment import own_models
    from gateway.quantization.ladder_entries import known_models

    return known_models(models_file or own_models())


def _levels(spec: "ModelSpec", levels: str, *, tune: bool) -> tuple[str, ...]:
    """Names of the entries that levels of a model get.

    Raises:
        ConfigError: they cannot be made, or nothing can be chosen for it: before it is pulled.
    """
    from gateway.backends.llama_cpp.spec import LlamaCppSpec
    from gateway.core.errors import ConfigError

    if levels and not isinstance(spec, LlamaCppSpec):
        raise ConfigError(
            f"--as: {spec.name} is run by {spec.backend}, and levels are made of an entry that "
            "llama.cpp runs"
        )
    if tune:
        from gateway.determinism.fastest import choosing

        choosing(spec)
    if not levels:
        return ()
    if not listed(levels):
        raise ConfigError(f"--as: {levels!r} names no level", hint="--as Q4_0,Q8_0")
    from gateway.quantization.names import level_entry, parse_level

    return tuple(level_entry(spec.name, parse_level(each)) for each in listed(levels))


def _tune(entry: str, models_file: Path | None, *, asked: bool, quiet: bool) -> None:
    """Choose an entry's settings; unasked, where something can be chosen and nothing was. What was
    chosen before says what for."""
    from gateway.cli.determinism import choose_fastest
    from gateway.core.errors import GatewayError
    from gateway.determinism.fastest import chosen_before
    from gateway.report.pages import fastest as page

    try:
        known = chosen_before(entry, models_file)
        if known and not asked:
            note(f"{entry} here: {page.said(known)}, as it was chosen before")
            return
        note(
            f"trying which settings are fastest for {entry} and change no byte: two or three "
            "minutes for a small model (--no-tune or Ctrl-C skips it, --tune does it later)"
        )
        purpose = known.purpose if known else "all"
        show(page.section(choose_fastest(entry, models_file, purpose, quiet=quiet).choice))
    except GatewayError as error:
        if asked:
            raise
        note(f"nothing was chosen: {error.message}")


def _pull_on_ollama(spec: "ModelSpec") -> str:
    require_extra("ollama")
    from gateway.backends.ollama import admin

    found = wait(admin.pull(*admin.server_of(spec), err))
    return f"{found.name} {found.digest}"


@models_app.command("remove")
def models_remove(
    name: Annotated[str, typer.Argument(help="Such as ollama:llama3.2:1b.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    models_file: option.Models = None,
) -> None:
    """Have the Ollama server delete one of its models. Files that no other model uses go too."""
    from gateway.backends.ollama import admin
    from gateway.backends.registry import load_models

    spec = load_models(models_file).serving([name]).get(name)
    server, model = admin.server_of(spec)
    found = wait(server.model(model))
    if not yes and not typer.confirm(f"delete {found.name} from {server.host}?", err=True):
        note("nothing was deleted")
        raise typer.Exit(FAILED)
    wait(server.delete(found.name))
    note(f"deleted {found.name} from {server.host}")


@models_app.command("cache")
def models_cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it.")] = False,
) -> None:
    """What is kept so that a later start is faster, and what it takes on the disk.

    No answer depends on it: what is removed is computed again. GATEWAY_CACHE says how much may be
    kept; "off", nothing.
    """
    from gateway.models.environment import kept_files
    from gateway.report.pages import kept as page

    files = kept_files()
    if clear and files is not None:
        files.clear()
    show(page.section(files))


@models_app.command("import-ollama")
def models_import_ollama(
    name: Annotated[
        str | None, typer.Argument(help="As `ollama list` writes it; absent: say which there are.")
    ] = None,
    entry: Annotated[
        str, typer.Option("--as", help="Name of the entry; absent: the model's own.")
    ] = "",
    models_file: option.Models = None,
) -> None:
    """Make a model of an Ollama on this machine an entry of your models.toml.

    Its file is read where it lies: nothing is downloaded or copied, and no server is needed.
    """
    from gateway.backends.ollama import importing
    from gateway.models import ollama_store
    from gateway.models.environment import ollama_root, own_models

    root = ollama_root()
    if name is None:
        names = ollama_store.listed(root)
        for each in names:
            tell(each)
        if not names:
            note_none(f"models of Ollama in {root}", "ollama pull llama3.2:1b")
        return
    file = models_file or own_models()
    check_file(file, "--models-file")
    made = importing.add_entry(file, ollama_store.resolve(root, name), entry)
    tell(made.text)
    for line in [f"written to {file}", *made.remarks]:
        note(line)


@models_app.command("modelfile")
def models_modelfile(
    name: Annotated[str, typer.Argument(help="Name of the entry; its weights are a GGUF file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File, instead of standard output.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of Ollama's sampler.")] = 0,
    models_file: option.Models = None,
) -> None:
    """Write an Ollama Modelfile, with which Ollama reads the text that the gateway reads.

    [bold]gateway models modelfile smollm2-135m --output Modelfile[/]

    [bold]ollama create smollm2-135m -f Modelfile[/]

    Left alone, Ollama takes a built-in chat template in place of the model's own, and samples.
    The Modelfile says the model's own template in Go's language, checked by rendering
    conversations with both, and sets every sampling parameter for greedy answers. What still
    differs is said in its comments.
    """
    from gateway.backends.ollama import modelfile_writer
    from gateway.backends.registry import load_models

    check_file(output, "--output")
    spec = load_models(models_file).serving([name]).get(name)
    text = modelfile_writer.write_modelfile(spec, seed=seed)
    if output is None:
        out.file.write(text)
        return
    modelfile_writer.save_modelfile(output, text)
    note(f"written to {output}")


@models_app.command("push-ollama")
def models_push_ollama(
    name: Annotated[str, typer.Argument(help="Name of the entry; its weights are a GGUF file.")],
    as_name: Annotated[
        str, typer.Option("--as", help="What it is called on the server; absent: as the entry.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of Ollama's sampler.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model that has the name.")
    ] = False,
    models_file: option.Models = None,
) -> None:
    """Create an entry on the Ollama server, as gateway models modelfile says it.

    [bold]gateway models push-ollama smollm2-135m[/]

    Weights, adapter, template and parameters are sent; files that the server has are not sent
    again. OLLAMA_HOST says where the server is.
    """
    from gateway.backends.ollama import pushing
    from gateway.backends.ollama.client import server_at
    from gateway.backends.registry import load_models

    spec = load_models(models_file).serving([name]).get(name)
    server = server_at()
    made = wait(pushing.push(server, spec, as_name or name, err, seed=seed, force=force))
    tell(f"{made.name} {made.digest}")
