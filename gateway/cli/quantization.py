"""`gateway quantize` and `gateway fidelity`: levels of a model, and how far each is from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import option
from gateway.cli.common import err, keeping, listed, note, show
from gateway.cli.data_options import DelimiterOption, EncodingOption, QuotingOption, form_of
from gateway.cli.outputs import check_file, check_folder
from gateway.core.errors import ConfigError

if TYPE_CHECKING:
    from gateway.tasks.tables import ReadOptions

_WHOLE = "files that are whole are kept, the same command goes on from there"
_ThreadsOption = Annotated[int, typer.Option(min=0, max=1024, help="0: all usable cores.")]


def quantize(
    model: Annotated[
        str | None, typer.Argument(help="An entry or a GGUF file; F16, BF16 or F32 is best.")
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="Levels, comma-separated. \\[default: Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_0,Q3_K_M,Q2_K]",
        ),
    ] = "",
    imatrix: Annotated[
        Path | None,
        typer.Option(
            help="Importance matrix: a GGUF that llama-imatrix wrote, or a text or table of the "
            "kind that the model is for, which it then reads."
        ),
    ] = None,
    delimiter: DelimiterOption = "",
    encoding: EncodingOption = "",
    quoting: QuotingOption = "",
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder \\[default: in your data folder].")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="gguf: files for llama.cpp. gptq, awq, nf4 or int8, comma-separated: folders for "
            "torch."
        ),
    ] = "gguf",
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="For gptq and awq: a text or table of the kind that the model is for, which it "
            "reads as it is rounded."
        ),
    ] = None,
    bits: Annotated[
        int | None, typer.Option(min=2, max=8, help="Of gptq: 4, 8, 3 or 2 \\[default: 4].")
    ] = None,
    group_size: Annotated[
        int | None,
        typer.Option(
            min=-1,
            help="Of gptq and awq: inputs that share a step, -1: all \\[default: the largest of "
            "128, 64 and 32 that fits].",
        ),
    ] = None,
    threads: _ThreadsOption = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what each level would hold.")
    ] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Measure how fast each level is on this machine.")
    ] = False,
    levels: Annotated[
        bool, typer.Option("--levels", help="Say what every level's name means.")
    ] = False,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
) -> None:
    """Make a ladder of quantization levels, each an entry of your models.toml.

    [bold]gateway quantize smollm2-135m --to Q8_0,Q4_K_M,Q4_0[/]

    [bold]gateway quantize model-f16.gguf --dry-run[/]

    [bold]gateway quantize my-model --method gptq,awq,nf4 --calibration train.csv[/]

    Says what each file really holds: where rows cannot be cut into a level's blocks, llama.cpp
    takes other types. A source that is or was quantized is told by quantizing it again: its
    levels can be no better than it. Files that are there and whole are not made again.
    """
    from gateway.models.environment import own_models
    from gateway.quantization import names
    from gateway.report.pages import ladder as page

    if levels:
        show(page.levels_section(names.levels()))
        return
    if model is None:
        raise ConfigError("which model?", hint="gateway quantize MODEL, or --levels")
    methods = listed(method) or ("gguf",)
    if methods != ("gguf",):
        only_gguf = {"--to": to, "--imatrix": imatrix, "--dry-run": dry_run, "--speed": speed}
        _refuse_given(only_gguf, f"only with --method gguf, and not with {method}")
        file = models_file or own_models()
        form = form_of(delimiter, encoding, quoting)
        on_torch = _OnTorch(methods, bits or 0, group_size or 0, calibration, form, threads)
        _quantize_on_torch(model, on_torch, out_dir, file, quiet=quiet)
        return
    only_torch = {"--calibration": calibration, "--bits": bits, "--group-size": group_size}
    _refuse_given(only_torch, "only with --method gptq or awq")
    from gateway.cli.progress import staged
    from gateway.core.extras import require_extra
    from gateway.models.environment import models_root
    from gateway.quantization.importance import matrix_file
    from gateway.quantization.ladder import DEFAULT_LEVELS, plan
    from gateway.quantization.ladder_entries import check_names, known_models, write_entries
    from gateway.quantization.make import check, check_files, make
    from gateway.quantization.source import given
    from gateway.quantization.speed import measure_speeds
    from gateway.tasks.tables import require_reader

    require_extra("llama-cpp")
    form = form_of(delimiter, encoding, quoting)
    if imatrix is not None:
        require_reader(str(imatrix))
    file = models_file or own_models()
    folder = out_dir or models_root() / "ladders"
    if not dry_run:
        check_folder(folder)
        check_file(file, "--models-file")
    source = given(model, known_models(file))
    wanted = [names.parse_level(name) for name in listed(to) or DEFAULT_LEVELS]
    if not dry_run:
        check_files(source, wanted, folder)
        check_names(source, wanted, file, folder)
    with staged(err, quiet=quiet) as begin:
        on_tensor = begin("round trip", len(source.header.tensors))
        ladder = plan(source, wanted, imatrix=imatrix is not None, on_tensor=on_tensor)
        if dry_run:
            show(page.section(ladder))
            return
        check(ladder, folder, imatrix=imatrix is not None)
        with keeping(_WHOLE):
            matrix = imatrix and matrix_file(
                source,
                imatrix,
                folder,
                form=form,
                threads=threads,
                begin=partial(begin, "importance matrix"),
            )
            made = list(make(ladder, folder, imatrix=matrix, threads=threads, begin=begin))
        entries = write_entries(ladder, made, file, folder)
        speeds = measure_speeds(ladder, made, threads=threads, begin=begin) if speed else {}
    show(page.section(ladder, made, speeds))
    note(f"files in {folder}; entries in {file}: {', '.join(entries)}")


def fidelity(
    reference: Annotated[str, typer.Argument(help="An entry or a GGUF file.")],
    models: Annotated[list[str], typer.Argument(help="Levels of it: entries or GGUF files.")],
    text: Annotated[Path, typer.Option(help="A text file; what the models will be used on.")],
    context: Annotated[
        int, typer.Option(min=8, max=1 << 20, help="Tokens of a chunk; its second half counts.")
    ] = 512,
    chunks: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many chunks.")
    ] = None,
    threads: _ThreadsOption = 0,
    in_16_bits: Annotated[
        bool,
        typer.Option(
            "--in-16-bits",
            help="Round the reference's log-probabilities as llama-perplexity's file of them does: "
            "for a comparison of figures with its.",
        ),
    ] = False,
    json_output: option.Json = False,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
) -> None:
    """Perplexity of a text, and how far models' predictions are from a reference's.

    [bold]gateway fidelity model-f16.gguf model-q8_0 model-q4_k_m --text notes.txt[/]

    The figures are those of llama.cpp's llama-perplexity --kl-divergence: perplexity, KL divergence
    (mean, median, 99%, maximum), how often both find the same token most likely, and the root mean
    square change of the true token's probability. All models are in memory together.
    """
    from gateway.backends.registry import load_models
    from gateway.cli.progress import staged
    from gateway.quantization.fidelity import Wanted, measure
    from gateway.quantization.source import given
    from gateway.report.pages import ladder as page

    known = load_models(models_file)
    found = [given(name, known) for name in (reference, *models)]
    wanted = Wanted(text, context, chunks, threads, in_16_bits)
    with staged(err, quiet=quiet) as begin:
        made = measure(found[0], found[1:], wanted, partial(begin, "chunks"))
    show(page.fidelity_section(made), page.fidelity_json(made) if json_output else None)


@dataclass(frozen=True, slots=True)
class _OnTorch:
    """What levels on torch are made by; 0: the method's own."""

    methods: Sequence[str]
    bits: int
    group: int
    calibration: Path | None
    form: "ReadOptions"
    """How a table of calibration texts is read."""
    threads: int


def _refuse_given(options: Mapping[str, object], why: str) -> None:
    """Raise ConfigError where one of these options was given."""
    if given := [name for name, value in options.items() if value]:
        raise ConfigError(f"{', '.join(given)}: {why}")


def _quantize_on_torch(
    model: str, wanted: _OnTorch, out_dir: Path | None, file: Path, *, quiet: bool
) -> None:
    from gateway.quantization.torch.levels import CALIBRATED, parse_all

    levels = parse_all(wanted.methods, wanted.bits, wanted.group)
    from gateway.cli.progress import staged
    from gateway.core.extras import require_extra

    for level in levels:
        require_extra("transformers" if level.method in CALIBRATED else "nf4")
    from gateway.models.environment import models_root
    from gateway.quantization.importance import text_of
    from gateway.quantization.ladder_entries import known_models, refuse_taken
    from gateway.quantization.torch import make as making
    from gateway.quantization.torch.entries import write_entries
    from gateway.quantization.torch.source import torch_source
    from gateway.report.pages import ladder as page
    from gateway.tasks.tables import require_reader

    folder = out_dir or models_root() / "ladders"
    if wanted.calibration is not None:
        require_reader(str(wanted.calibration))
    check_folder(folder)
    check_file(file, "--models-file")
    source = torch_source(model, known_models(file))
    making.check(source, levels, folder, calibrated=wanted.calibration is not None)
    refuse_taken([making.entry_of(source, level) for level in levels], file, folder)
    text = text_of(wanted.calibration, wanted.form) if wanted.calibration else ""
    with staged(err, quiet=quiet) as begin, keeping(_WHOLE):
        made = list(
            making.make(
                source, levels, folder, calibration=text, threads=wanted.threads, begin=begin
            )
        )
    entries = write_entries(source, made, file, folder)
    show(page.folders_section(made))
    note(f"folders in {folder}; entries in {file}: {', '.join(entries)}")
