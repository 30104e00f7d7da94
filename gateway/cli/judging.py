"""A model as a judge of texts: `gateway judge`."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import option
from gateway.cli.common import FAILED, check_store, keeping, show
from gateway.cli.data_options import Columns, reads_data
from gateway.cli.outputs import check_folder

_TOTALS, _GRADES = "judge.json", "grades.jsonl"


@reads_data
def judge(
    model: Annotated[str, typer.Argument(help="The judge: name of an entry.")],
    rubric: Annotated[
        str, typer.Option("--rubric", "-r", help="faithfulness, format, or a rubric of your own.")
    ],
    data: Annotated[str, typer.Option(help="Answers to grade: as --data of run.")],
    human: Annotated[
        str | None, typer.Option(help="Column of human grades, integers from 1 to 5.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Answers: a seeded sample, by human grade if given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and the intervals.")] = 0,
    columns: Columns = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for judge.json and grades.jsonl.")
    ] = None,
    json_output: option.Json = False,
    store: option.Store = None,
    prompts: option.Prompts = None,
    models_file: option.Models = None,
    quiet: option.Quiet = False,
) -> None:
    """Have a model grade texts from 1 to 5 on a rubric, and say how far it can be trusted.

    [bold]gateway judge smollm2-135m -r faithfulness --data answers.csv --human grade[/]

    The grade is the expected value over the probabilities that the judge gives the five grades:
    nothing is sampled. An answer that cannot be graded is counted with its reason, and gets no
    grade. faithfulness reads the columns source and answer, format the columns request and
    answer; --column FIELD=NAME if they are called otherwise.

    [bold]A judge favours its own answers[/]: a model that is one of those compared must not be the
    judge. A model of 135M parameters is no judge worth trusting without its kappa, which needs
    human grades (--human) of some of the very answers that it grades.

    Exit code 1: requests failed.
    """
    import gateway
    from gateway.cli.progress import watched
    from gateway.core.digests import canonical_json
    from gateway.evaluation.judge import jsonfile
    from gateway.models.environment import prompts_root
    from gateway.report.files import write_files
    from gateway.report.pages import judge as page

    check_folder(out_dir, files=(_TOTALS, _GRADES))
    check_store(store)
    with keeping(), watched(quiet=quiet, scored=False) as (watch, _):
        made = gateway.judge(
            model,
            rubric,
            data,
            human=human,
            limit=limit,
            seed=seed,
            columns=columns,
            store=store,
            prompts=prompts or prompts_root(),
            models_file=models_file,
            watch=watch,
        )
    totals = jsonfile.totals_json(made)
    whole = {**totals, "grades": jsonfile.grades_json(made)}
    show(page.sections(made), whole if json_output else None)
    if out_dir is not None:
        files = {
            _TOTALS: canonical_json(totals) + "\n",
            _GRADES: jsonfile.grades_jsonl(made),
        }
        write_files(files, out_dir)
    raise typer.Exit(FAILED if made.statuses["failed"] else 0)
