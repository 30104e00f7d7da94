"""`gateway serve`, `gateway replay` of its traffic, and `gateway keys` of its callers."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import option
from gateway.cli.common import FAILED, listed, note, note_none, show, tell, wait
from gateway.cli.outputs import check_file

KeysOption = Annotated[
    Path | None, typer.Option("--keys", help="File of API keys \\[default: in your data folder].")
]
keys_app = typer.Typer(no_args_is_help=True, help="API keys of gateway serve.")


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
            "\\[default: what is free at the start, less a tenth and at least 512 MB]"
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
        list[str] | None,
        typer.Option(
            help="Web origin whose pages may ask (CORS), besides this machine's own; * for all, "
            "none to shut those out too. Repeatable."
        ),
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
    prompts: option.Prompts = None,
    models_file: option.Models = None,
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
    from gateway.backends.pool import ModelPool
    from gateway.backends.registry import load_models
    from gateway.core.sizes import available_bytes, default_budget, parse_size, readable
    from gateway.server import running as process
    from gateway.server.settings import Limits, Settings

    check_file(record, "--record")
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
    names = listed(model)
    models = load_models(models_file).serving(names)
    for name in names:
        models.get(name)
    budget = parse_size(memory) if memory else default_budget(available_bytes())
    listener = process.bind(host, port)
    address = process.address_of(listener)
    note(f"models may take {readable(budget)} of memory together")
    if record is not None:
        note(f"every prompt and answer is kept in {record}")
    wait(
        process.serve(
            lambda: ModelPool(
                models,
                max_loaded=max(max_loaded, len(names)),
                memory=budget,
                loader=process.load_and_log,
            ),
            settings,
            listener,
            preload=names,
            on_ready=lambda: note(f"serving on {address}/v1, docs at {address}/docs"),
        )
    )


def replay(
    file: Annotated[Path, typer.Argument(help="Recording made by gateway serve --record.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Ask this model instead of those that answered."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many requests.")
    ] = None,
    json_output: option.Json = False,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
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

    from gateway.cli.progress import counter
    from gateway.determinism.replay import replay_file
    from gateway.report.pages import replay as page

    counting = counter("asked", quiet=quiet)
    made = wait(
        replay_file(file, model=model, limit=limit, models_file=models_file, counting=counting)
    )
    show(page.section(made), {**asdict(made), "broken": made.broken} if json_output else None)
    raise typer.Exit(FAILED if made.broken else 0)


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
    from gateway.models.environment import keys_file
    from gateway.server.keys import create_key

    path = keys or keys_file()
    check_file(path, "--keys")
    text = create_key(path, name, models=listed(model), requests_per_minute=rate)
    note(f"written to {path}")
    tell(text)


@keys_app.command("list")
def keys_list(keys: KeysOption = None) -> None:
    """Names, models and rates; never the keys."""
    from gateway.models.environment import keys_file
    from gateway.report.pages import keys as page
    from gateway.server.keys import read_keys

    path = keys or keys_file()
    rows = [
        (
            key.name,
            ", ".join(key.models) or "all",
            str(key.requests_per_minute or "any"),
            key.created,
        )
        for key in read_keys(path)
    ]
    if rows:
        show(page.listing(rows))
    else:
        given = f" --keys {keys}" if keys else ""
        note_none(f"keys in {path}", f"gateway keys create NAME{given}")


@keys_app.command("revoke")
def keys_revoke(
    name: Annotated[str, typer.Argument(help="Whose key it is.")], keys: KeysOption = None
) -> None:
    """Take a key out of the file; a running server refuses it from its next request on."""
    from gateway.models.environment import keys_file
    from gateway.server.keys import revoke_key

    revoke_key(keys or keys_file(), name)
