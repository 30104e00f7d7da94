"""`gateway prompts`: tasks, their strategies, and the text that a model reads."""

from typing import Annotated

import typer

from gateway.cli import option
from gateway.cli.common import listed, note, note_none, out, reading, show, wait
from gateway.cli.data_options import Columns, reads_data

prompts_app = typer.Typer(no_args_is_help=True, help="Tasks, their prompt strategies, and rubrics.")


@prompts_app.command("list")
def prompts_list(prompts: option.Prompts = None) -> None:
    """Tasks and their strategies, and the rubrics of gateway judge."""
    from gateway.evaluation.judge.rubric import list_rubrics
    from gateway.models.environment import prompts_root, shipped
    from gateway.report.pages import prompts as page
    from gateway.tasks.task import check_root, list_tasks

    root = prompts or prompts_root()
    check_root(root)
    if list_tasks(root) or list_rubrics(root):
        show(page.listing(root))
    else:
        note_none(f"tasks in {root}", f"cp -r {shipped('prompts') / 'issue-triage'} {root}")


@prompts_app.command("show")
def prompts_show(
    task: Annotated[str, typer.Argument(help="Task, or rubric.")],
    strategy: Annotated[str, typer.Argument(help="Strategy; grade, of a rubric.")],
    prompts: option.Prompts = None,
) -> None:
    """A template as it is written."""
    from gateway.evaluation.judge.rubric import list_rubrics, load_rubric
    from gateway.models.environment import prompts_root
    from gateway.tasks.prompts import load_template
    from gateway.tasks.task import load_task

    root = prompts or prompts_root()
    known = load_rubric(task, root).task if task in list_rubrics(root) else load_task(task, root)
    template = load_template(known, strategy, root)
    out.file.write(template.source)


@prompts_app.command("render")
@reads_data
def prompts_render(
    task: option.Task,
    data: Annotated[str, typer.Option(help="Data whose item is rendered.")],
    strategy: Annotated[str, typer.Option("--strategy", "-s")] = "zero_shot",
    item: Annotated[str, typer.Option(help="Id of the item; absent: the first.")] = "",
    train: Annotated[str | None, typer.Option(help="Training data for exemplars.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    columns: Columns = None,
    prompts: option.Prompts = None,
    models_file: option.Models = None,
) -> None:
    """Print the exact text that the model will read for an item."""
    from gateway.backends.registry import load_models
    from gateway.evaluation.plan import RunOptions, prepare
    from gateway.models.environment import prompts_root
    from gateway.report.pages.rendered import rendered

    models = load_models(models_file).serving(listed(model))
    name = model or models.default
    wanted = RunOptions(
        task=task,
        data=data,
        train=train,
        models=(name,),
        strategies=(strategy,),
        prompts=prompts or prompts_root(),
        seed=seed,
        rules=("sum",),
        columns=columns,
        encoder=False,
    )
    with reading():
        prepared = prepare(wanted)
    text, notes = wait(rendered(prepared, models.get(name), item))
    out.file.write(text + "\n")
    for line in notes.lines:
        note(line)
