"""The command line: parse arguments, call the rest, print. No logic of its own.

Exit codes: 0 done; 1 the model or the store failed, or items failed; 2 wrong usage, configuration
or data; 3 a comparison was refused; 130 interrupted.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gateway import __version__
from gateway.errors import (
    ComparisonRefused,
    ConfigError,
    DataError,
    GatewayError,
    RequestError,
)

app = typer.Typer(
    name="gateway",
    help="Evaluate local language models on your own labelled data. "
    "The same request gives the same bytes, and every number can be replayed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
models_app = typer.Typer(no_args_is_help=True, help="The models that the gateway knows.")
prompts_app = typer.Typer(no_args_is_help=True, help="Tasks and their prompt strategies.")
app.add_typer(models_app, name="models")
app.add_typer(prompts_app, name="prompts")
keys_app = typer.Typer(no_args_is_help=True, help="API keys of gateway serve.")
app.add_typer(keys_app, name="keys")

INTERRUPTED = 130
REFUSED = 3
USAGE = 2
FAILED = 1

_EXTRAS = {
    "ollama": "ollama",
    "httpx": "ollama",
    "gguf": "llama-cpp",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
}
"""Packages that only some commands need, and the extra that brings each."""

out = Console()
err = Console(stderr=True)

TaskOption = Annotated[
    str, typer.Option("--task", "-t", help="Task, a folder of the prompts (gateway prompts list).")
]
PromptsOption = Annotated[
    Path | None, typer.Option("--prompts", help="Folder of tasks instead of the shipped one.")
]
ModelsOption = Annotated[
    Path | None,
    typer.Option("--models-file", help="A models.toml whose entries add to the shipped ones."),
]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="SQLite file of answers [default: in your data folder]."),
]
KeysOption = Annotated[
    Path | None, typer.Option("--keys", help="File of API keys [default: in your data folder].")
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option("--column", help="FIELD=NAME: the data's column for a field. Repeatable."),
]


def main() -> None:
    """Entry point: errors become one message and an exit code."""
    try:
        # Not standalone: click returns the code of a typer.Exit instead of leaving with it.
        code = app(standalone_mode=False)
    except GatewayError as error:
        show_error(error)
        sys.exit(_exit_code(error))
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted: what was answered is kept, the same command goes on from there")
        sys.exit(INTERRUPTED)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        extra = _EXTRAS[error.name]
        show_error(
            ConfigError(
                f"{error.name} is not installed", hint=f"pip install 'local-model-gateway[{extra}]'"
            )
        )
        sys.exit(USAGE)
    except Exception as error:
        # click's own usage errors know how to show themselves.
        show: Callable[[], None] | None = getattr(error, "show", None)
        if show is None:
            raise
        show()
        sys.exit(getattr(error, "exit_code", USAGE))
    sys.exit(code if isinstance(code, int) else 0)


def show_error(error: GatewayError) -> None:
    """What was wrong and where, and on a second line what to do."""
    # Not wrapped: a path that is cut in two can be neither copied nor searched for.
    err.print(Text(f"error: {error.message}", style="bold red"), soft_wrap=True)
    if error.hint:
        err.print(Text(f"  try: {error.hint}"), soft_wrap=True)


def _note(text: str) -> None:
    """A line beside the output proper."""
    err.print(text, markup=False, highlight=False, soft_wrap=True)


def _exit_code(error: GatewayError) -> int:
    if isinstance(error, ComparisonRefused):
        return REFUSED
    return USAGE if isinstance(error, ConfigError | DataError | RequestError) else FAILED


def _version(wanted: bool) -> None:
    if wanted:
        out.print(__version__, highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    task: TaskOption,
    data: Annotated[str, typer.Option(help="Labelled items: CSV, JSONL, Parquet or hf:NAME.")],
    train: Annotated[
        str | None,
        typer.Option(help="Training data: exemplars, calibration and the baselines come from it."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Models, comma-separated.")
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", "-s", help="Prompt strategies, comma-separated.")
    ] = "zero_shot,few_shot,cot",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Items: a seeded sample, stratified by label.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of samples, exemplars and intervals.")] = 0,
    exemplars: Annotated[
        str, typer.Option(help="How exemplars are chosen: fixed, stratified or nearest.")
    ] = "",
    score_rule: Annotated[
        str,
        typer.Option(
            help="How label scores become answers, comma-separated: sum, mean, per_byte, "
            "contextual, batch. [default: sum, and batch where --train is given]"
        ),
    ] = "",
    dev: Annotated[
        int, typer.Option(min=1, help="Training items on which batch calibration is fitted.")
    ] = 48,
    column: ColumnOption = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for report.html, .md, .json and predictions.jsonl."),
    ] = None,
    store: StoreOption = None,
    prompts: PromptsOption = None,
    models_file: ModelsOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Ask a grid of models and prompt strategies, score it, say which is better.

    Every answer is kept as it comes: interrupted at any moment, the same command goes on where it
    was. Asked again, nothing is computed twice.

    [bold]gateway run -t issue-triage --data test.csv --train train.csv --limit 150 --out report[/]
    """
    from gateway.config import load_models, prompts_root
    from gateway.planning import Wanted, prepare

    _check_folder(out_dir)
    models = load_models(models_file).serving(_listed(model))
    names = _listed(model) or (models.default,)
    for name in names:
        models.get(name)
    wanted = Wanted(
        task=task,
        data=data,
        train=train,
        models=names,
        strategies=_listed(strategy),
        prompts=prompts or prompts_root(),
        limit=limit,
        seed=seed,
        exemplars=exemplars,
        rules=_listed(score_rule),
        dev_size=dev,
        columns=_columns(column),
    )
    prepared = prepare(wanted)
    with _open_store(store) as opened:
        record = asyncio.run(_run(prepared, models, opened, quiet=quiet))
        failed = _finish(record, opened, out_dir)
    raise typer.Exit(FAILED if failed else 0)


async def _run(prepared: Any, models: Any, store: Any, *, quiet: bool) -> Any:
    from gateway import planning
    from gateway.pool import ModelPool
    from gateway.progress import RunProgress
    from gateway.runner import run as run_plan

    pool = ModelPool(models)
    try:
        with RunProgress(prepared.plan, err, quiet=quiet) as progress:
            cells = await run_plan(prepared.plan, pool, store, progress.update)
    finally:
        await pool.close()
    record = planning.record(prepared, cells)
    store.put_run(record.run_id, record.task, record.to_json())
    return record


def _finish(record: Any, store: Any, out_dir: Path | None) -> bool:
    """Print the tables, write the files; True when items failed."""
    from gateway import evaluation
    from gateway.identity import write_atomically
    from gateway.report import write_report
    from gateway.report.terminal import print_report, print_timings

    predictions = evaluation.predictions_of(record, store)
    report = evaluation.evaluate(record, predictions, evaluation.answers_of(record, store))
    timings = evaluation.timings_of(record, store, predictions)
    print_report(report, out)
    print_timings(timings, out)
    if out_dir is not None:
        write_report(report, timings, out_dir)
        lines = evaluation.predictions_jsonl(record, predictions)
        write_atomically(out_dir / "predictions.jsonl", lines)
        out.print(f"report: {out_dir / 'report.html'}", markup=False, highlight=False)
    return any(cell.statuses.get("failed", 0) for cell in report.cells)


@app.command()
def report(
    run_id: Annotated[str, typer.Argument(help="Id of the run, or its first digits.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the files.")],
    store: StoreOption = None,
) -> None:
    """Make the report of a stored run again; no model is loaded."""
    from gateway.evaluation import RunRecord

    with _open_store(store) as opened:
        _, raw = opened.run(run_id)
        _finish(RunRecord.from_json(raw), opened, out_dir)


@app.command()
def score(
    folder: Annotated[Path, typer.Argument(help="Folder given to gateway run --out.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap intervals.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Score the predictions of a finished run again, from its files alone."""
    from dataclasses import replace

    from gateway.evaluation import load_predictions
    from gateway.report.jsonfile import render_json
    from gateway.report.terminal import print_report
    from gateway.scoring import score_cell

    found = _load_report(folder)
    cells = [
        score_cell(
            name,
            "baseline" if name.startswith("baseline:") else "model",
            found.kind,
            found.labels,
            predictions,
            seed=seed,
        )
        for name, predictions in load_predictions(folder).items()
    ]
    scored = replace(found, cells=tuple(cells), comparisons=(), disagreements=(), summary=())
    if json_output:
        out.file.write(render_json(scored))
    else:
        print_report(scored, out)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="FOLDER or FOLDER:CELL.")],
    b: Annotated[str, typer.Argument(help="FOLDER or FOLDER:CELL, or the CELL of the first.")],
    metric: Annotated[str, typer.Option(help="Instead of the task's own metric.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap interval.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Compare two cells on the same items: difference, interval, test, flips.

    Refused, with the reason, where the items, their labels or the label set differ.

    [bold]gateway compare report:smollm2-135m/zero_shot/sum report:smollm2-135m/few_shot/sum[/]
    """
    from dataclasses import asdict

    from gateway import comparison
    from gateway.identity import canonical_json
    from gateway.report.terminal import print_comparison

    folder_a, cell_a = _folder_and_cell(a, None)
    folder_b, cell_b = _folder_and_cell(b, folder_a)
    report_a, report_b = _load_report(folder_a), _load_report(folder_b)
    for what in ("task", "kind", "labels"):
        if getattr(report_a, what) != getattr(report_b, what):
            raise ComparisonRefused(
                f"the runs differ in their {what}: {getattr(report_a, what)} and "
                f"{getattr(report_b, what)}"
            )
    result = comparison.compare(
        _cell(folder_a, cell_a),
        _cell(folder_b, cell_b),
        task_kind=report_a.kind,
        labels=report_a.labels,
        metric=metric or report_a.primary_metric,
        seed=seed,
    )
    if json_output:
        out.file.write(canonical_json(asdict(result)) + "\n")
    else:
        print_comparison(result, out)


@app.command()
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
    from gateway import classifying

    asked = classifying.Asked(
        task=task,
        labels=_listed(labels),
        model=model,
        strategy=strategy,
        train=train,
        rule=score_rule,
        columns=_columns(column),
        prompts=prompts,
        models_file=models_file,
    )
    if file is not None and file.suffix.lower() == ".csv":
        classifying.label_csv(asked, file, output, err)
        return
    if file is not None:
        text = _read_text(file)
    elif text in (None, "-"):
        text = sys.stdin.read()
    answer = classifying.one(asked, text or "")
    classifying.show(answer, out, as_json=json_output)


@app.command()
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
    from gateway import asking
    from gateway.config import load_models
    from gateway.exact import completion_to_json
    from gateway.types import Sampling

    models = load_models(models_file).serving(_listed(model))
    name = model or models.default
    models.get(name)
    text = sys.stdin.read() if prompt in (None, "-") else prompt
    sampling = Sampling(
        temperature=temperature, seed=seed, max_tokens=max_tokens, stop=tuple(stop or ())
    )
    asked = asking.Prompt(text or "", system, raw)
    show = (lambda _: None) if json_output else asking.to_standard_output
    done = asking.ask(models, name, asked, sampling, show)
    out.file.write((completion_to_json(done) if json_output else "") + "\n")
    if done.finish_reason == "length":
        _note(f"ended at its limit of {max_tokens} tokens")


@app.command()
def certify(
    model: Annotated[str, typer.Argument(help="Name of the entry.")],
    models_file: ModelsOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Measure on this machine whether a model's bytes ever change, and keep the result.

    The same requests run alone, together, shuffled, with cold and warm caches, in other chunks,
    on one thread and in a fresh process; each byte is compared. Reports show the level. Exit code
    1: the entry promises "bitwise" and something changed.

    A model of an Ollama server is unloaded and loaded again where a cold cache is wanted. Nothing
    is promised for it: the level is what was measured.

    [bold]gateway certify smollm2-135m[/]

    [bold]gateway certify ollama:llama3.2:1b[/]
    """
    from dataclasses import asdict

    from gateway import certificates, certify, showing
    from gateway.config import certificates_file, load_models
    from gateway.identity import canonical_json

    spec = load_models(models_file).serving([model]).get(model)
    with err.status("loading") as status:
        made = asyncio.run(
            certify.certify(
                spec,
                certify.load_pulled,
                lambda: certify.in_fresh_process(model, models_file),
                lambda name, done, total: status.update(f"{done + 1} of {total}: {name}"),
            )
        )
    certificates.save(made, certificates_file())
    if json_output:
        out.file.write(canonical_json(asdict(made)) + "\n")
    else:
        showing.certificate(made, out)
    promised = spec.deterministic == "bitwise" and spec.backend != "ollama"
    kept = made.level is certificates.Level.BITWISE or not promised
    raise typer.Exit(0 if kept else FAILED)


@app.command()
def serve(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Models to load before the first request."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="File of API keys (gateway keys create); callers show one."),
    ] = None,
    max_loaded: Annotated[int, typer.Option(min=1, help="Models in memory at once.")] = 1,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Most memory of all loaded models, as 800MB or 4GiB: idle ones make room for "
            "others, and one that is larger alone is refused with 507. "
            "[default: what is free at the start, less a tenth and at least 512 MB]"
        ),
    ] = None,
    running: Annotated[int, typer.Option(min=1, help="Requests worked on together.")] = 32,
    waiting: Annotated[
        int, typer.Option(min=0, help="Requests that may wait; more get 429 and Retry-After.")
    ] = 256,
    deadline: Annotated[
        float, typer.Option(min=0.1, help="Seconds a request may take, waiting included.")
    ] = 600.0,
    upload: Annotated[
        float, typer.Option(min=0.1, help="Seconds in which a request's body has to arrive.")
    ] = 30.0,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds to finish accepted requests after SIGTERM.")
    ] = 60.0,
    max_body: Annotated[int, typer.Option(min=1024, help="Most bytes of a request.")] = 4 << 20,
    max_prompt: Annotated[
        int, typer.Option(min=1, help="Most characters of a prompt.")
    ] = 1_000_000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name clients may use, besides localhost and addresses."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Web origin whose pages may ask (CORS). Repeatable.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No line a request.")] = False,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Requests' bodies in their lines too.")
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            help="SQLite file in which every prompt and answer is kept, for gateway replay.",
        ),
    ] = None,
    prompts: PromptsOption = None,
    models_file: ModelsOption = None,
) -> None:
    """Serve the models behind OpenAI's API; the same request gives the same bytes.

    [bold]gateway serve -m smollm2-135m[/]

    Then, with OpenAI's client: OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none").

    Documentation of every endpoint is at /docs, metrics are at /metrics, /health/live and
    /health/ready tell how the server is. On standard error is one line of JSON a request.
    For other machines: [bold]gateway keys create me --keys keys.json[/] and
    [bold]gateway serve --host 0.0.0.0 --keys keys.json[/]
    With [bold]--record traffic.sqlite[/] the traffic can be asked again: gateway replay.
    """
    from gateway.config import load_models
    from gateway.memory import available_bytes, default_budget, parse_size, readable
    from gateway.pool import ModelPool
    from gateway.server import running as process
    from gateway.server.settings import Limits, Settings

    settings = Settings(
        limits=Limits(
            body_bytes=max_body,
            prompt_chars=max_prompt,
            running=running,
            waiting=waiting,
            deadline_s=deadline,
            upload_s=upload,
            drain_s=drain,
        ),
        keys=keys,
        hosts=tuple(allow_host or ()),
        origins=tuple(allow_origin or ()),
        prompts=prompts,
        log_requests=not quiet,
        log_prompts=log_prompts,
        record=record,
    )
    process.check_exposure(host, settings)
    names = _listed(model)
    models = load_models(models_file).serving(names)
    for name in names:
        models.get(name)
    budget = parse_size(memory) if memory else default_budget(available_bytes())
    listener = process.bind(host, port)
    address = process.address_of(listener)
    _note(f"models may take {readable(budget)} of memory together")
    if record is not None:
        _note(f"every prompt and answer is kept in {record}")
    asyncio.run(
        process.serve(
            lambda: ModelPool(models, max_loaded=max(max_loaded, len(names)), memory=budget),
            settings,
            listener,
            preload=names,
            on_ready=lambda: _note(f"serving on {address}/v1, docs at {address}/docs"),
        )
    )


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="Recording made by gateway serve --record.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Ask this model instead of those that answered."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many requests.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    models_file: ModelsOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Ask a server's recorded requests again, and compare the answers.

    Record some traffic, then see that nothing changed, or what another model would have said:

    [bold]gateway serve -m smollm2-135m --record traffic.sqlite[/]

    [bold]gateway replay traffic.sqlite[/]

    [bold]gateway replay traffic.sqlite --model gemma3-270m-plain --limit 100[/]

    An answer is byte-identical if its text, token ids, log-probabilities, usage and finish reason
    are. The difference of two texts is 0 where they are equal and 1 where they share no word.
    A model whose fingerprint changed is another model; the table names what changed in it.

    Exit code 1: a model of the same fingerprint answered otherwise, or a request failed.
    """
    from dataclasses import asdict

    from gateway import showing
    from gateway.config import load_models
    from gateway.identity import canonical_json
    from gateway.recording import Recording

    models = load_models(models_file).serving(_listed(model))
    with contextlib.closing(Recording.existing(file)) as recording:
        made = asyncio.run(_replay(recording, models, model, limit, quiet=quiet))
    if json_output:
        shown = {**asdict(made), "broken": made.broken}
        out.file.write(canonical_json(shown) + "\n")
    else:
        showing.replayed(made, out)
    raise typer.Exit(FAILED if made.broken else 0)


async def _replay(
    recording: Any, models: Any, model: str | None, limit: int | None, *, quiet: bool
) -> Any:
    from gateway import replay as replaying
    from gateway.pool import ModelPool
    from gateway.progress import counted

    pool = ModelPool(models)
    try:
        with counted("asked", recording.count_answered(limit), err, quiet=quiet) as done:
            return await replaying.replay(recording, pool, model=model, limit=limit, on_done=done)
    finally:
        await pool.close()


@app.command()
def parity(
    a: Annotated[str, typer.Argument(help="Name of an entry.")],
    b: Annotated[str, typer.Argument(help="Name of another entry.")],
    task: TaskOption,
    data: Annotated[str, typer.Option(help="Labelled items: CSV, JSONL, Parquet or hf:NAME.")],
    train: Annotated[
        str | None, typer.Option(help="Training data that exemplars are chosen from.")
    ] = None,
    strategy: Annotated[str, typer.Option("--strategy", "-s")] = "zero_shot",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Items: a seeded sample, stratified by label.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Most tokens of each text.")] = 20,
    column: ColumnOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    prompts: PromptsOption = None,
    models_file: ModelsOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Ask two models the same items: does what was measured with one hold for the other?

    For one model's weights behind two backends, in two formats or two settings:

    [bold]gateway parity smollm2-135m ollama:smol:plain -t issue-triage --data test.csv[/]

    For each item: whether both read the same tokens; whether they write the same text at
    temperature 0; and, where the task has labels, whether both score the same label highest and
    how far the labels' log-probabilities (in nats) are apart. What a model can not tell is
    unknown, not equal. Scores that are bounds are counted, and enter no difference. Where the
    strategy lets the model reason, tokens and texts are those before its reasoning, and labels
    are scored after it. One model is in memory at a time.

    Exit code 0: both answered all items, and all inputs, texts and labels are equal. Exit code 1:
    something differs, failed, or is not known.
    """
    from gateway import showing_parity as showing
    from gateway.config import load_models, prompts_root
    from gateway.identity import canonical_json
    from gateway.planning import Wanted, prepare

    models = load_models(models_file).serving((a, b))
    for name in (a, b):
        models.get(name)
    wanted = Wanted(
        task=task,
        data=data,
        train=train,
        models=(a, b),
        strategies=(strategy,),
        prompts=prompts or prompts_root(),
        limit=limit,
        rules=("sum",),
        columns=_columns(column),
    )
    made = asyncio.run(_parity(prepare(wanted).plan, models, tokens, quiet=quiet))
    if json_output:
        out.file.write(canonical_json(showing.parity_json(made)) + "\n")
    else:
        showing.parity_table(made, out)
    raise typer.Exit(0 if made.holds else FAILED)


async def _parity(plan: Any, models: Any, tokens: int, *, quiet: bool) -> Any:
    from gateway import parity as comparing
    from gateway.pool import ModelPool
    from gateway.progress import counted

    pool = ModelPool(models)
    try:
        with counted("asked", 2 * len(plan.items), err, quiet=quiet) as done:
            return await comparing.parity(plan, pool, tokens=tokens, on_done=done)
    finally:
        await pool.close()


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Models it may ask, comma-separated; absent: all."),
    ] = None,
    rate: Annotated[int, typer.Option(min=0, help="Requests a minute; 0: any number.")] = 0,
    keys: KeysOption = None,
) -> None:
    """Make a key and print it, this once: the file holds only its hash."""
    from gateway.config import keys_file
    from gateway.server.keys import create_key

    path = keys or keys_file()
    text = create_key(path, name, models=_listed(model), requests_per_minute=rate)
    err.print(f"written to {path}", markup=False, highlight=False, soft_wrap=True)
    out.print(text, markup=False, highlight=False, soft_wrap=True)


@keys_app.command("list")
def keys_list(keys: KeysOption = None) -> None:
    """Names, models and rates; never the keys."""
    from gateway import showing
    from gateway.config import keys_file
    from gateway.server.keys import read_keys

    rows = [
        (
            key.name,
            ", ".join(key.models) or "all",
            str(key.requests_per_minute or "any"),
            key.created,
        )
        for key in read_keys(keys or keys_file())
    ]
    showing.keys_table(rows, out)


@keys_app.command("revoke")
def keys_revoke(
    name: Annotated[str, typer.Argument(help="Whose key it is.")], keys: KeysOption = None
) -> None:
    """Take a key out of the file; a running server refuses it from its next request on."""
    from gateway.config import keys_file
    from gateway.server.keys import revoke_key

    revoke_key(keys or keys_file(), name)


@models_app.command("list")
def models_list(
    ollama: Annotated[
        bool, typer.Option("--ollama", help="The models of the Ollama server instead.")
    ] = False,
    models_file: ModelsOption = None,
) -> None:
    """All entries, and whether their files are on this machine.

    With [bold]--ollama[/] the models of the Ollama server, which need no entry: every command takes
    them by the name that is listed, such as ollama:llama3.2:1b.
    """
    from gateway import on_ollama, showing
    from gateway.backends.ollama.server import server_at
    from gateway.config import load_models

    if ollama:
        asyncio.run(on_ollama.models_table(server_at(), out))
    else:
        showing.models_table(load_models(models_file), out)


@models_app.command("show")
def models_show(
    name: Annotated[str, typer.Argument(help="Name of the entry.")],
    models_file: ModelsOption = None,
) -> None:
    """What an entry is, what its file holds, and what makes its identity."""
    from gateway import showing
    from gateway.config import load_models

    models = load_models(models_file).serving([name])
    asyncio.run(showing.model_details(models.get(name), out))


@models_app.command("pull")
def models_pull(
    name: Annotated[str | None, typer.Argument(help="Name; absent: the default model.")] = None,
    models_file: ModelsOption = None,
) -> None:
    """Fetch a model's file and check its sha256. One that is here already is left as it is.

    [bold]gateway models pull ollama:llama3.2:1b[/] has the Ollama server fetch it.
    """
    from gateway import on_ollama
    from gateway.config import load_models
    from gateway.sources import pull

    models = load_models(models_file).serving([name] if name else [])
    spec = models.get(name or models.default)
    if spec.backend == "ollama":
        found = asyncio.run(on_ollama.pull(*on_ollama.server_of(spec), err))
        out.print(f"{found.name} {found.digest}", markup=False, highlight=False, soft_wrap=True)
        return
    path = pull(spec)
    out.print(str(path), markup=False, highlight=False, soft_wrap=True)


@models_app.command("remove")
def models_remove(
    name: Annotated[str, typer.Argument(help="Such as ollama:llama3.2:1b.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    models_file: ModelsOption = None,
) -> None:
    """Have the Ollama server delete one of its models. Files that no other model uses go too."""
    from gateway import on_ollama
    from gateway.config import load_models

    spec = load_models(models_file).serving([name]).get(name)
    server, model = on_ollama.server_of(spec)
    found = asyncio.run(server.model(model))
    if not yes and not typer.confirm(f"delete {found.name} from {server.host}?", err=True):
        _note("nothing was deleted")
        raise typer.Exit(FAILED)
    asyncio.run(server.delete(found.name))
    _note(f"deleted {found.name} from {server.host}")


@models_app.command("import-ollama")
def models_import_ollama(
    name: Annotated[
        str | None, typer.Argument(help="As `ollama list` writes it; absent: say which there are.")
    ] = None,
    entry: Annotated[
        str, typer.Option("--as", help="Name of the entry; absent: the model's own.")
    ] = "",
    models_file: ModelsOption = None,
) -> None:
    """Make a model of an Ollama on this machine an entry of your models.toml.

    Its file is read where it lies: nothing is downloaded or copied, and no server is needed.
    """
    from gateway import importing, ollama_store
    from gateway.config import ollama_root, own_models

    root = ollama_root()
    if name is None:
        names = ollama_store.listed(root)
        for each in names:
            out.print(each, markup=False, highlight=False)
        if not names:
            err.print(f"no models in {root}", markup=False, highlight=False)
        return
    file = models_file or own_models()
    made = importing.add_entry(file, ollama_store.resolve(root, name), entry)
    out.print(made.text, markup=False, highlight=False, soft_wrap=True)
    for line in [f"written to {file}", *made.remarks]:
        err.print(line, markup=False, highlight=False, soft_wrap=True)


@models_app.command("modelfile")
def models_modelfile(
    name: Annotated[str, typer.Argument(help="Name of the entry; its weights are a GGUF file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File, instead of standard output.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of Ollama's sampler.")] = 0,
    models_file: ModelsOption = None,
) -> None:
    """Write an Ollama Modelfile, with which Ollama reads the text that the gateway reads.

    [bold]gateway models modelfile smollm2-135m --output Modelfile[/]

    [bold]ollama create smollm2-135m -f Modelfile[/]

    Left alone, Ollama takes a built-in chat template in place of the model's own, and samples.
    The Modelfile says the model's own template in Go's language, checked by rendering
    conversations with both, and sets every sampling parameter for greedy answers. What still
    differs is said in its comments.
    """
    from gateway import modelfile_writer
    from gateway.config import load_models

    text = modelfile_writer.write_modelfile(load_models(models_file).get(name), seed=seed)
    if output is None:
        out.file.write(text)
        return
    modelfile_writer.save_modelfile(output, text)
    _note(f"written to {output}")


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
    models_file: ModelsOption = None,
) -> None:
    """Create an entry on the Ollama server, as gateway models modelfile says it.

    [bold]gateway models push-ollama smollm2-135m[/]

    Weights, adapter, template and parameters are sent; files that the server has are not sent
    again. OLLAMA_HOST says where the server is.
    """
    from gateway import pushing
    from gateway.backends.ollama.server import server_at
    from gateway.config import load_models

    spec = load_models(models_file).get(name)
    server = server_at()
    made = asyncio.run(pushing.push(server, spec, as_name or name, err, seed=seed, force=force))
    out.print(f"{made.name} {made.digest}", markup=False, highlight=False, soft_wrap=True)


@prompts_app.command("list")
def prompts_list(prompts: PromptsOption = None) -> None:
    """Tasks and their strategies."""
    from gateway import showing
    from gateway.config import prompts_root

    showing.prompts_table(prompts or prompts_root(), out)


@prompts_app.command("show")
def prompts_show(
    task: Annotated[str, typer.Argument(help="Task.")],
    strategy: Annotated[str, typer.Argument(help="Strategy.")],
    prompts: PromptsOption = None,
) -> None:
    """A template as it is written."""
    from gateway.config import prompts_root
    from gateway.prompts import load_template
    from gateway.tasks import load_task

    root = prompts or prompts_root()
    template = load_template(load_task(task, root), strategy, root)
    out.file.write(template.source)


@prompts_app.command("render")
def prompts_render(
    task: TaskOption,
    data: Annotated[str, typer.Option(help="Data whose item is rendered.")],
    strategy: Annotated[str, typer.Option("--strategy", "-s")] = "zero_shot",
    item: Annotated[str, typer.Option(help="Id of the item; absent: the first.")] = "",
    train: Annotated[str | None, typer.Option(help="Training data for exemplars.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    column: ColumnOption = None,
    prompts: PromptsOption = None,
    models_file: ModelsOption = None,
) -> None:
    """Print the exact text that the model will read for an item."""
    from gateway import showing
    from gateway.config import load_models, prompts_root
    from gateway.planning import Wanted, prepare

    models = load_models(models_file).serving(_listed(model))
    name = model or models.default
    wanted = Wanted(
        task=task,
        data=data,
        train=train,
        models=(name,),
        strategies=(strategy,),
        prompts=prompts or prompts_root(),
        seed=seed,
        rules=("sum",),
        columns=_columns(column),
    )
    asyncio.run(showing.rendered_prompt(prepare(wanted), models.get(name), item, out, err))


@contextlib.contextmanager
def _open_store(path: Path | None) -> Iterator[Any]:
    from gateway.config import default_store
    from gateway.store import Store

    store = Store(path or default_store())
    try:
        yield store
    finally:
        store.close()


def _check_folder(path: Path | None) -> None:
    """Before minutes of work, not after them."""
    if path is not None and path.exists() and not path.is_dir():
        raise DataError(f"{path}: a file is in the way of the output folder")


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _columns(pairs: list[str] | None) -> dict[str, str]:
    columns = {}
    for pair in pairs or []:
        field, separator, name = pair.partition("=")
        if not separator or not field or not name:
            raise ConfigError(f"--column {pair!r} is not FIELD=NAME")
        columns[field] = name
    return columns


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise DataError(f"{path}: can not be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise DataError(f"{path}: no UTF-8 text: byte {exc.start}") from exc


def _load_report(folder: Path) -> Any:
    from gateway.report.jsonfile import load_report

    return load_report(_read_text(folder / "report.json"))


def _folder_and_cell(text: str, other: Path | None) -> tuple[Path, str]:
    """`FOLDER`, `FOLDER:CELL`, or only `CELL` where another folder is known."""
    if Path(text).is_dir():
        return Path(text), ""
    folder, separator, cell = text.partition(":")
    if separator and Path(folder).is_dir():
        return Path(folder), cell
    if other is not None:
        return other, text
    raise DataError(f"{text}: no such folder", hint="FOLDER:CELL, FOLDER as given to run --out")


def _cell(folder: Path, name: str) -> Any:
    from gateway.evaluation import load_predictions

    found = load_predictions(folder)
    if not name and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        raise DataError(
            f"{folder}: no cell is called {name!r}" if name else f"{folder}: name a cell",
            hint="FOLDER:CELL with one of: " + ", ".join(found),
        )
    return found[name]
