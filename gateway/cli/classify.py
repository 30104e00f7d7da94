"""One text, or one question: `gateway classify` and `gateway ask`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import (
    ColumnOption,
    ModelsOption,
    PromptsOption,
    TaskOption,
    columns_of,
    err,
    listed,
    note,
    out,
    read_text,
    show,
)
from gateway.cli.outputs import check_file
from gateway.core.errors import ConfigError


def classify(
    text: Annotated[
        str | None, typer.Argument(help="The text. Absent or -: standard input.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A text file, or a CSV to label.")
    ] = None,
    task: TaskOption = "issue-triage",
    labels: Annotated[
        str, typer.Option(help="Labels, comma-separated, for tasks that leave them open.")
    ] = "",
    model: Annotated[str | None, typer.Option("--model", "-m")] = None,
    strategy: Annotated[str, typer.Option("--strategy", "-s")] = "zero_shot",
    train: Annotated[
        str | None, typer.Option(help="Training data for exemplars and batch calibration.")
    ] = None,
    score_rule: Annotated[str, typer.Option(help="sum, mean, per_byte, contextual, batch")] = "",
    column: ColumnOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the labelled CSV goes.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object a text.")] = False,
    prompts: PromptsOption = None,
    models_file: ModelsOption = None,
) -> None:
    """Classify a text, a file, or every row of a CSV.

    [bold]gateway classify "The page crashes when I scroll"[/]
    """
    from dataclasses import asdict

    from gateway.cli.progress import counted
    from gateway.evaluation import classify as classifying
    from gateway.report.pages import classified

    a_table = file is not None and file.suffix.lower() == ".csv"
    if output is not None and not a_table:
        raise ConfigError("--output is where a labelled CSV goes", hint="give --file a CSV")
    check_file(output, "--output")
    asked = classifying.Asked(
        task=task,
        labels=listed(labels),
        model=model,
        strategy=strategy,
        train=train,
        rule=score_rule,
        columns=columns_of(column),
        prompts=prompts,
        models_file=models_file,
    )
    if file is not None and a_table:
        classifying.label_csv(asked, file, output, lambda count: counted("classified", count, err))
        return
    if file is not None:
        text = read_text(file)
    elif text in (None, "-"):
        text = sys.stdin.read()
    with err.status("asking"):
        answer = classifying.one(asked, text or "")
    show(classified.sections(answer), asdict(answer) if json_output else None)


def ask(
    prompt: Annotated[
        str | None, typer.Argument(help="The prompt. Absent or -: standard input.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m")] = None,
    system: Annotated[str, typer.Option(help="System prompt.")] = "",
    raw: Annotated[
        bool, typer.Option("--raw", help="Read the prompt as it is, without a chat template.")
    ] = False,
    max_tokens: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Most tokens of the answer.")
    ] = 512,
    temperature: Annotated[float, typer.Option(min=0, max=100, help="0: greedy.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler; unused when greedy.")] = 0,
    stop: Annotated[
        list[str] | None, typer.Option(help="The answer ends before this text. Repeatable.")
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="The whole answer as JSON, tokens and counts too.")
    ] = False,
    models_file: ModelsOption = None,
) -> None:
    """Ask a model one thing and print its answer as it comes.

    [bold]gateway ask "Name three colours."[/]

    [bold]gateway ask -m ollama:llama3.2:1b --seed 42 --max-tokens 512 "Name three colours."[/]
    """
    from gateway.backends import once
    from gateway.backends.base import load_models
    from gateway.core.json import completion_to_json
    from gateway.core.types import Sampling

    models = load_models(models_file).serving(listed(model))
    name = model or models.default
    models.get(name)
    text = sys.stdin.read() if prompt in (None, "-") else prompt
    sampling = Sampling(
        temperature=temperature, seed=seed, max_tokens=max_tokens, stop=tuple(stop or ())
    )
    asked = once.Prompt(text or "", system, raw)
    with err.status("asking") as waiting:

        def show(piece: str) -> None:
            waiting.stop()
            if not json_output:
                once.to_standard_output(piece)

        done = once.ask(models, name, asked, sampling, show)
    out.file.write((completion_to_json(done) if json_output else "") + "\n")
    if done.finish_reason == "length":
        note(f"ended at its limit of {max_tokens} tokens")
