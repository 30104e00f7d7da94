"""The command line: parse arguments, call the rest, print. No logic of its own.

Exit codes: 0 done; 1 the model or the store failed, or items failed; 2 wrong usage, configuration
or data; 3 a comparison was refused; 130 interrupted.
"""

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.text import Text

from gateway import __version__
from gateway.cli import (
    ab,
    before_after,
    classify,
    determinism,
    judging,
    manual,
    needs,
    plan,
    quantization,
    serving,
    tuning,
)
from gateway.cli import run as running
from gateway.cli.adapters import adapters_app
from gateway.cli.common import FAILED, INTERRUPTED, REFUSED, USAGE, Interrupted, err, out
from gateway.cli.data import data_app
from gateway.cli.models import models_app
from gateway.cli.prompts import prompts_app
from gateway.cli.serving import keys_app
from gateway.core.errors import (
    ComparisonRefused,
    ConfigError,
    DataError,
    GatewayError,
    RequestError,
    StoreError,
)
from gateway.core.extras import BROUGHT, missing

app = typer.Typer(
    name="gateway",
    help="Evaluate local language models on your own labelled data. "
    "The same request gives the same bytes, and every number can be replayed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
# In the order in which the help lists them.
for command in (
    running.run,
    running.report,
    running.score,
    running.compare,
    ab.ab,
    judging.judge,
    tuning.tune,
    classify.classify,
    classify.ask,
    determinism.certify,
    serving.serve,
    serving.replay,
    determinism.parity,
    quantization.quantize,
    quantization.fidelity,
    plan.plan,
):
    app.command()(command)
app.command("help")(manual.show)
adapters_app.command("compare")(before_after.compare)
app.add_typer(models_app, name="models")
app.add_typer(adapters_app, name="adapters")
app.add_typer(prompts_app, name="prompts")
app.add_typer(data_app, name="data")
app.add_typer(keys_app, name="keys")
needs.settle(app)


def main() -> None:
    """Entry point: errors become one message and an exit code."""
    try:
        # Not standalone: click returns the code of a typer.Exit instead of leaving with it.
        code = app(prog_name="gateway", standalone_mode=False)
        if code == INTERRUPTED:
            # Into which newer typers turn a KeyboardInterrupt.
            raise KeyboardInterrupt
    except GatewayError as error:
        show_error(error)
        sys.exit(_exit_code(error))
    except Interrupted as kept:
        err.print(f"interrupted: {kept}")
        sys.exit(INTERRUPTED)
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted")
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.filename is None:
            raise
        # What was tried before and failed all the same: a disk that is full by now, say.
        show_error(StoreError(f"{error.filename}: {error.strerror}"))
        sys.exit(FAILED)
    except ModuleNotFoundError as error:
        # Where a library is asked for deep inside, for what a file turned out to be.
        if (absent := error.name) not in BROUGHT:
            raise
        show_error(missing(absent))
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
