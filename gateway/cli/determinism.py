"""What can be relied on, measured: `gateway certify` and `gateway parity`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import option
from gateway.cli.common import FAILED, err, keeping, reading, show, wait
from gateway.cli.data_options import Columns, reads_data
from gateway.cli.outputs import check_file
from gateway.models.purpose import Purpose

if TYPE_CHECKING:
    from gateway.determinism.fastest import Found


def certify(
    model: Annotated[str, typer.Argument(help="Name of the entry.")],
    fastest: Annotated[
        bool,
        typer.Option(
            "--fastest",
            help="First choose the fastest settings of llama.cpp with which no byte changes.",
        ),
    ] = False,
    purpose: Annotated[
        Purpose,
        typer.Option(
            "--for",
            help="With --fastest: what for. labels: scoring them, which reads much and writes "
            "little; tiled attention is measured too.",
        ),
    ] = "all",
    models_file: option.Models = None,
    json_output: option.Json = False,
    quiet: option.Quiet = False,
) -> None:
    """Measure on this machine whether a model's bytes ever change, and keep the result.

    The same requests run alone, together, shuffled, with cold and warm caches, in other chunks,
    on one thread and in a fresh process; each byte is compared. Reports show the level. Exit code
    1: the entry promises "bitwise" and something changed.

    A model of an Ollama server is unloaded and loaded again where a cold cache is wanted. Nothing
    is promised for it: the level is what was measured.

    With [bold]--fastest[/] repacked weights, Q4_1 split and flash attention are measured beside the
    usual settings, and tried from the fastest to the slowest: every number of rows in a pass,
    prefixes cut at every place, other sequences beside, one thread, the entry's adapter. The first
    with which no byte changes is kept for this file, processor and library. An entry that says
    attention, repack or split itself is left as it is. It takes a minute or two for the
    default model on two cores, and longer for larger ones, in proportion to the time that they take
    to read. With [bold]--for labels[/] it takes three times as long.

    [bold]gateway certify smollm2-135m[/]

    [bold]gateway certify --fastest smollm2-135m[/]

    [bold]gateway certify --fastest --for labels smollm2-135m[/]

    [bold]gateway certify ollama:llama3.2:1b[/]
    """
    from dataclasses import asdict

    import gateway
    from gateway.backends.registry import load_models
    from gateway.core.errors import ConfigError
    from gateway.models.certificates import Level
    from gateway.models.environment import certificates_file
    from gateway.report.pages import certificate as page

    check_file(certificates_file(), "GATEWAY_DATA")
    if fastest:
        _certify_fastest(model, models_file, purpose, json_output=json_output, quiet=quiet)
        return
    if purpose != "all":
        raise ConfigError(
            "--for says what the fastest settings are chosen for",
            hint=f"gateway certify --fastest --for {purpose} {model}",
        )
    spec = load_models(models_file).serving([model]).get(model)
    with err.status("loading") as status:
        made = gateway.certify(
            model,
            models_file=models_file,
            on_trial=lambda name, done, total: status.update(f"{done + 1} of {total}: {name}"),
        )
    show(page.section(made), asdict(made) if json_output else None)
    promised = spec.deterministic == "bitwise" and not spec.can.on_a_server
    kept = made.level is Level.BITWISE or not promised
    raise typer.Exit(0 if kept else FAILED)


def _certify_fastest(
    model: str, models_file: Path | None, purpose: Purpose, *, json_output: bool, quiet: bool
) -> None:
    from dataclasses import asdict

    from gateway.report.pages import certificate, fastest

    found = choose_fastest(model, models_file, purpose, quiet=quiet)
    values = {**asdict(found.certificate), "choice": asdict(found.choice)} if json_output else None
    show((fastest.section(found.choice), certificate.section(found.certificate)), values)


def choose_fastest(
    model: str, models_file: Path | None, purpose: Purpose = "all", *, quiet: bool = False
) -> "Found":
    """Choose and certify a model's fastest settings, with bars; Ctrl-C leaves all as it was."""
    from gateway.cli.progress import staged
    from gateway.determinism.fastest import certify_fastest

    with staged(err, quiet=quiet) as begin, keeping("nothing was chosen, and nothing is changed"):
        trials: list[Callable[[], None]] = []

        def on_trial(_: str, done: int, total: int) -> None:
            if not done:
                trials.append(begin("certify", total))
            trials[-1]()

        return certify_fastest(
            model, models_file=models_file, purpose=purpose, begin=begin, on_trial=on_trial
        )


@reads_data
def parity(
    a: Annotated[str, typer.Argument(help="Name of an entry.")],
    b: Annotated[str, typer.Argument(help="Name of another entry.")],
    task: option.Task,
    data: option.Data,
    train: Annotated[
        str | None, typer.Option(help="Training data that exemplars are chosen from.")
    ] = None,
    strategy: Annotated[str, typer.Option("--strategy", "-s")] = "zero_shot",
    limit: option.Limit = None,
    tokens: Annotated[int, typer.Option(min=1, help="Most tokens of each text.")] = 20,
    columns: Columns = None,
    json_output: option.Json = False,
    prompts: option.Prompts = None,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
) -> None:
    """Ask two models the same items: does what was measured with one hold for the other?

    For one model's weights behind two backends, in two formats or two settings:

    [bold]gateway parity smollm2-135m ollama:smol:plain -t issue-triage --data test.csv[/]

    For each item: whether both read the same tokens; whether they write the same text at
    temperature 0; and, where the task has labels, whether both score the same label highest and
    how far the labels' log-probabilities (in nats) are apart. What a model cannot tell is
    unknown, not equal. Scores that are bounds are counted, and enter no difference. Where the
    strategy lets the model reason, tokens and texts are those before its reasoning, and labels
    are scored after it. One model is in memory at a time.

    Exit code 0: both answered all items, and all inputs, texts and labels are equal. Exit code 1:
    something differs, failed, or is not known.
    """
    from gateway.backends.registry import load_models
    from gateway.cli.progress import counter
    from gateway.determinism.parity import compare_models
    from gateway.evaluation.plan import RunOptions, prepare
    from gateway.models.environment import prompts_root
    from gateway.report.pages import parity as page

    models = load_models(models_file).serving((a, b))
    for name in (a, b):
        models.get(name)
    wanted = RunOptions(
        task=task,
        data=data,
        train=train,
        models=(a, b),
        strategies=(strategy,),
        prompts=prompts or prompts_root(),
        limit=limit,
        rules=("sum",),
        columns=columns,
        encoder=False,
    )
    with reading():
        plan = prepare(wanted).plan
    counting = counter("asked", quiet=quiet)
    made = wait(compare_models(plan, models, tokens=tokens, counting=counting))
    show(page.sections(made), page.parity_json(made) if json_output else None)
    raise typer.Exit(0 if made.holds else FAILED)
