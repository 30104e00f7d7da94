"""`gateway plan`: whether to prompt, retrieve or fine-tune, with what, and what it takes."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.cli import option
from gateway.cli.common import reading, show
from gateway.cli.data_options import Columns, reads_data
from gateway.core.errors import ConfigError
from gateway.tuning.recipe import TARGETS, Recipe

_DEFAULT = Recipe()
if TYPE_CHECKING:
    from gateway.tuning.plan.architecture import Architecture
    from gateway.tuning.plan.guide import Answers, Changes, Goal, Latency

_Word = TypeVar("_Word", bound=str)
_GOALS: "tuple[Goal, ...]" = ("labels", "format", "style", "knowledge")
_CHANGES: "tuple[Changes, ...]" = ("never", "rarely", "often")
_LATENCIES: "tuple[Latency, ...]" = ("free", "tight")


@reads_data
def plan(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A family (--families), an entry, a config.json or its folder, or a GGUF file."
        ),
    ] = None,
    goal: Annotated[
        str, typer.Option(help="What the model lacks: labels, format, style or knowledge.")
    ] = "",
    examples: Annotated[
        int | None, typer.Option(min=0, help="How many labelled examples there are.")
    ] = None,
    changes: Annotated[
        str, typer.Option(help="How often the facts it needs do: never, rarely or often.")
    ] = "",
    best_prompt: Annotated[
        float | None, typer.Option(help="Score of the best prompt so far.")
    ] = None,
    needed: Annotated[float | None, typer.Option(help="Score that is good enough.")] = None,
    latency: Annotated[
        str, typer.Option(help="free, or tight: no time to read a long prompt.")
    ] = "",
    task: Annotated[
        str, typer.Option("--task", "-t", help="A task, whose kind says the goal.")
    ] = "",
    train: Annotated[
        str, typer.Option(help="Training data of the task, which says how many examples.")
    ] = "",
    columns: Columns = None,
    rank: Annotated[int, typer.Option(help="Of the LoRA.")] = _DEFAULT.rank,
    targets: Annotated[
        str,
        typer.Option(help=f"{', '.join(TARGETS)}, or modules such as q_proj,v_proj."),
    ] = _DEFAULT.targets,
    context: Annotated[
        int, typer.Option(help="Tokens of a training sequence.")
    ] = _DEFAULT.max_tokens,
    batch: Annotated[int, typer.Option(help="Sequences in a forward pass on one GPU.")] = 1,
    accumulate: Annotated[int, typer.Option(help="Forward passes before a step.")] = _DEFAULT.batch,
    optimizer: Annotated[str, typer.Option(help="adamw, adamw8bit or sgd.")] = "adamw",
    checkpointing: Annotated[
        bool, typer.Option(help="Keep only the inputs of blocks, and compute again.")
    ] = True,
    dropout: Annotated[float, typer.Option(min=0, max=1, help="Of the LoRA.")] = _DEFAULT.dropout,
    upcast: Annotated[
        bool,
        typer.Option(help="QLoRA made by PEFT's prepare_model_for_kbit_training, in part float32."),
    ] = False,
    gpus: Annotated[int, typer.Option(help="How many train together.")] = 1,
    stage: Annotated[int, typer.Option("--zero", help="Stage of ZeRO: 0 to 3.")] = 0,
    memory: Annotated[str, typer.Option(help="Of one GPU, such as 24GB: says what fits.")] = "",
    formulas: Annotated[bool, typer.Option(help="Show how each figure was computed.")] = True,
    list_families: Annotated[
        bool, typer.Option("--families", help="List the known families.")
    ] = False,
    json_output: option.Json = False,
    models_file: option.Models = None,
    prompts: option.Prompts = None,
) -> None:
    """Prompt, retrieve, fine-tune or both? With what, and how much memory does it take?

    [bold]gateway plan llama-3.1-8b --memory 24GB[/]

    [bold]gateway plan smollm2-135m --goal labels --examples 900 --best-prompt 0.51 --needed 0.75[/]

    [bold]gateway plan ./my-model/config.json --rank 64 --targets attention --gpus 4[/]

    Nothing is loaded and nothing is asked: what is not given is named. Each figure shows its
    formula. Trained weights are those that PEFT counts; memory was compared with published
    measurements.
    """
    from gateway.core.sizes import parse_size
    from gateway.report.pages import plan as page
    from gateway.tuning.plan.architecture import families
    from gateway.tuning.plan.guide import Answers
    from gateway.tuning.plan.parameters import targets_of
    from gateway.tuning.plan.plan import make_plan, plan_json
    from gateway.tuning.plan.setup import Setup

    if list_families:
        show(page.families_section(families().values()))
        return
    architecture = None if model is None else _architecture(model, models_file)
    given = Answers(
        goal=_one_of("goal", goal, _GOALS),
        examples=examples,
        changes=_one_of("changes", changes, _CHANGES),
        best_prompt=best_prompt,
        needed=needed,
        latency=_one_of("latency", latency, _LATENCIES),
    )
    setup = Setup(
        "lora" if architecture else "full",
        context=context,
        batch=batch,
        accumulate=accumulate,
        checkpointing=checkpointing,
        optimizer=optimizer,
        rank=rank,
        targets=targets_of(architecture, targets) if architecture else (),
        dropout=dropout,
        upcast=upcast,
        devices=gpus,
        stage=stage,
    )
    answers = _answers(given, task, train, prompts, columns)
    made = make_plan(answers, setup, architecture, parse_size(memory) if memory else None)
    show(page.sections(made, formulas=formulas), plan_json(made) if json_output else None)


def _architecture(name: str, models_file: Path | None) -> "Architecture":
    """Of a file or family, or of the files of an entry."""
    from gateway.backends.registry import load_models
    from gateway.models.locate import locate
    from gateway.tuning.plan.architecture import architecture_of, family, from_path

    models = load_models(models_file)
    if Path(name).exists() or family(name) or name not in models.specs:
        return architecture_of(name)
    return from_path(locate(models.get(name)))


def _one_of(option: str, value: str, known: tuple[_Word, ...]) -> _Word | None:
    if value and value not in known:
        raise ConfigError(f"--{option} {value!r} is not known", hint=f"one of {', '.join(known)}")
    return next((word for word in known if word == value), None)


def _answers(
    given: "Answers", task: str, train: str, prompts: Path | None, columns: Columns
) -> "Answers":
    """What was said, and what the task and its data say where nothing was."""
    from gateway.models.environment import prompts_root
    from gateway.tasks.dataset import load_dataset
    from gateway.tasks.task import load_task
    from gateway.tuning.plan.guide import GOAL_OF

    if train and not task:
        raise ConfigError("--train is data of a task", hint="--task NAME (gateway prompts list)")
    if not task:
        return given
    loaded = load_task(task, prompts or prompts_root())
    given = replace(given, goal=given.goal or GOAL_OF[loaded.kind])
    if not train or given.examples is not None:
        return given
    with reading():
        return replace(given, examples=len(load_dataset(train, loaded, columns=columns).items))
