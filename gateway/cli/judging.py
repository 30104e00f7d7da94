"""A model as a judge of texts: `gateway judge`."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.common import (
    FAILED,
    ColumnOption,
    ModelsOption,
    PromptsOption,
    StoreOption,
    check_store,
    columns_of,
    err,
    keeping_answers,
    open_store,
    reading,
    show,
)
from gateway.cli.outputs import check_folder

_TOTALS, _GRADES = "judge.json", "grades.jsonl"


def judge(
    model: Annotated[str, typer.Argument(help="The judge: name of an entry.")],
    rubric: Annotated[
        str, typer.Option("--rubric", "-r", help="faithfulness, format, or a rubric of your own.")
    ],
    data: Annotated[str, typer.Option(help="Answers to grade: CSV, JSONL, Parquet or hf:NAME.")],
    human: Annotated[
        str | None, typer.Option(help="Column of human grades, integers from 1 to 5.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Answers: a seeded sample, by human grade if given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and the intervals.")] = 0,
    column: ColumnOption = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for judge.json and grades.jsonl.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="JSON instead of tables.")] = False,
    store: StoreOption = None,
    prompts: PromptsOption = None,
    models_file: ModelsOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Have a model grade texts from 1 to 5 on a rubric, and say how far it can be trusted.

    [bold]gateway judge smollm2-135m -r faithfulness --data answers.csv --human grade[/]

    The grade is the expected value over the probabilities that the judge gives the five grades:
    nothing is sampled. An answer that can not be graded is counted with its reason, and gets no
    grade. faithfulness reads the columns source and answer, format the columns request and
    answer; --column FIELD=NAME if they are called otherwise.

    [bold]A judge favours its own answers[/]: a model that is one of those compared must not be the
    judge. A model of 135M parameters is no judge worth trusting without its kappa, which needs
    human grades (--human) of some of the very answers that it grades.

    Exit code 1: requests failed.
    """
    from gateway.backends.base import load_models
    from gateway.core.digests import canonical_json
    from gateway.evaluation.judge import jsonfile
    from gateway.evaluation.judge.rubric import load_answers, load_rubric
    from gateway.models.environment import prompts_root
    from gateway.report.files import write_files
    from gateway.report.pages import judge as page

    check_folder(out_dir, files=(_TOTALS, _GRADES))
    check_store(store)
    models = load_models(models_file).serving([model])
    models.get(model)
    loaded = load_rubric(rubric, prompts or prompts_root())
    columns = columns_of(column)
    with reading():
        answers = load_answers(data, loaded, columns=columns, human=human, limit=limit, seed=seed)
    with keeping_answers(), open_store(store) as opened:
        made = asyncio.run(_judge(loaded, answers, model, models, opened, seed, quiet=quiet))
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


async def _judge(
    rubric: Any, answers: Any, model: str, models: Any, store: Any, seed: int, *, quiet: bool
) -> Any:
    from gateway.backends.pool import ModelPool
    from gateway.cli.progress import RunProgress, planned
    from gateway.evaluation.judge.judgement import judgement, plan_of
    from gateway.evaluation.run import run
    from gateway.models.certificates import level_of
    from gateway.models.environment import certificates_file

    plan = plan_of(rubric, answers, model)
    pool = ModelPool(models)
    try:
        with RunProgress(planned([plan]), err, quiet=quiet, scored=False) as progress:
            (cell,) = await run(plan, pool, store, progress.update)
    finally:
        await pool.close()
    level = level_of(cell.fingerprint, certificates_file()).value
    return judgement(rubric, answers, cell, level, store.answers(cell.digest), seed=seed)
