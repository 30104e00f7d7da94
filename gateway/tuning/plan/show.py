"""What `gateway plan` prints."""

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.memory import readable
from gateway.tuning.plan.architecture import Architecture
from gateway.tuning.plan.figures import Figure, number, total
from gateway.tuning.plan.guide import Advice
from gateway.tuning.plan.hyperparameters import RANKS, WARM_SHARE, Range, Steps
from gateway.tuning.plan.inference_memory import remarks
from gateway.tuning.plan.parameters import parameters
from gateway.tuning.plan.plan import ModelPlan, Plan
from gateway.tuning.plan.setup import SINGLE
from gateway.tuning.plan.training_memory import BESIDE, Memory
from gateway.tuning.plan.zero import DIVIDES

_MOMENTS = ("loss", "first block backward", "last block backward", "optimizer step")
_ABSENT = "–"


def plan(made: Plan, console: Console, *, formulas: bool) -> None:
    """The advice, then the tables, each with its formulas below."""
    _advice(made.advice, made.model, console)
    if made.model is not None:
        _model(made.model, console, formulas)
    _hyperparameters(made.ranges, made.steps, console)


def families_table(known: Iterable[Architecture], console: Console) -> None:
    """One row a shipped family."""
    table = Table("family", "parameters", "layers", "hidden", "heads", "kv heads", "of")
    for a in known:
        numbers = (int(total(parameters(a))), a.layers, a.hidden, a.heads, a.kv_heads)
        table.add_row(a.name, *(f"{n:,}" for n in numbers), a.source)
    console.print(table)


def _advice(advice: Advice, model: ModelPlan | None, console: Console) -> None:
    _say(console, f"advice: {advice.verdict}")
    if model is not None:
        _say(console, f"if you fine-tune, with: {model.with_what()}")
    for rule in advice.reasons:
        _say(console, f"- {rule.name}: {rule.because} [{rule.source}]")
    if advice.questions:
        _say(console, "what would sharpen it:")
        for question in advice.questions:
            _say(console, f"  {question}")


def _model(model: ModelPlan, console: Console, formulas: bool) -> None:
    a, s = model.architecture, model.setup
    _say(
        console,
        f"{a.name} ({a.source}): {model.parameters:,} parameters, {a.layers} layers of "
        f"{a.hidden}, {a.heads} heads, {a.kv_heads} of keys and values",
    )
    shown = [("parameters", parameters(a))] if formulas else []
    _formulas(shown, console, size=False)
    _ranks(model, console)
    if formulas:
        what = (
            f"LoRA of rank {s.rank}, and of others likewise; its file has {SINGLE} bytes a weight"
        )
        _formulas([(what, model.ranks[s.rank])], console, size=False)
    _training(model, console)
    if formulas:
        for name, memory in model.memories.items():
            _moments(name, memory, console)
    _inference(model, console, formulas)
    _zero(model, console, formulas)


def _ranks(model: ModelPlan, console: Console) -> None:
    names = ", ".join(target.name for target in model.setup.targets)
    table = Table("rank", "trained", "of the model", "adapter file", title=f"LoRA on {names}")
    for rank, figures in model.ranks.items():
        trained = int(total(figures))
        share = f"{100 * trained / model.parameters:.3f}%"
        table.add_row(str(rank), f"{trained:,}", share, readable(trained * SINGLE))
    console.print(table)


def _training(model: ModelPlan, console: Console) -> None:
    s = model.setup
    what = f"{s.batch} x {s.context} tokens, {s.optimizer}, ZeRO {s.stage} on {s.devices}"
    kept = "with" if s.checkpointing else "without"
    table = Table("training", *_MOMENTS, "peak", title=f"{what}, {kept} checkpointing")
    if model.budget is not None:
        table.add_column(f"in {readable(model.budget)}")
    for name, memory in model.memories.items():
        moments = memory.moments
        cells = [readable(total(moments[m])) if m in moments else _ABSENT for m in _MOMENTS]
        fits = [] if model.budget is None else ["fits" if model.fits(memory) else "too large"]
        table.add_row(name, *cells, readable(memory.total), *fits)
    console.print(table)
    low, high = map(readable, BESIDE)
    _say(
        console,
        f"each is what torch allocates on one device; beside it are {low} to {high} of CUDA "
        "context and kernels, and what the allocator can not use",
    )


def _moments(name: str, memory: Memory, console: Console) -> None:
    """Each term once, then which of them are together."""
    terms = {figure.name: figure for figures in memory.moments.values() for figure in figures}
    _formulas([(name, terms.values())], console)
    for moment, figures in memory.moments.items():
        _say(console, f"  {moment} = {' + '.join(figure.name for figure in figures)}")


def _inference(model: ModelPlan, console: Console, formulas: bool) -> None:
    contexts = [f"with {number(context)} tokens" for context in model.contexts]
    table = Table("level", "bits a weight", "weights", *contexts, title="running it (llama.cpp)")
    for found in model.inference:
        sizes = map(readable, (found.weights.value, *found.totals))
        table.add_row(found.level.name, f"{found.bits:g}", *sizes)
    console.print(table)
    for remark in remarks(model.architecture):
        _say(console, remark)
    if formulas:
        weights = [found.weights for found in model.inference]
        _formulas([("running it", (*weights, *model.inference[0].caches))], console)


def _zero(model: ModelPlan, console: Console, formulas: bool) -> None:
    stages = [f"ZeRO {n}" for n in range(len(DIVIDES))]
    title = "peak of each device by stage, and what it saves"
    table = Table("training", "devices", *stages, title=title)
    for (name, devices), found in model.zero.items():
        cells = [f"{readable(x.memory.total)} (-{readable(x.saved)})" for x in found]
        table.add_row(name, str(devices), readable(found[0].memory.total), *cells[1:])
    console.print(table)
    for n, divides in enumerate(DIVIDES):
        _say(console, f"ZeRO {n} divides {divides}")
    if formulas:
        (name, devices), found = list(model.zero.items())[-1]
        whole = {f.name: f for figures in found[0].memory.moments.values() for f in figures}
        for stage in found[1:]:
            changed = {
                figure.name: figure
                for figures in stage.memory.moments.values()
                for figure in figures
                if figure != whole.get(figure.name)
            }
            what = f"{name}, {devices} devices, ZeRO {stage.stage}: as above but for"
            _formulas([(what, changed.values())], console)


def _hyperparameters(ranges: Iterable[Range], long: Steps | None, console: Console) -> None:
    table = Table("hyperparameter", "range", "begin with", "why", "source")
    for r in ranges:
        table.add_row(*map(escape, (r.name, r.range, r.begin, r.why, r.source)))
    console.print(table)
    for rank in RANKS:
        ranks = " to ".join(map(str, rank.ranks))
        _say(console, f"rank {ranks}: {rank.use} [{rank.source}]")
    if long is not None:
        _say(
            console,
            f"{long.total:,} steps = {long.formula}; {long.warm_up:,} of them, "
            f"ceil({WARM_SHARE} x {long.total:,}), to warm up",
        )


def _formulas(
    groups: Iterable[tuple[str, Iterable[Figure]]], console: Console, *, size: bool = True
) -> None:
    for what, figures in groups:
        _say(console, f"{what}:")
        for line in _lines(figures, size):
            _say(console, f"  {line}")


def _lines(figures: Iterable[Figure], size: bool) -> Iterator[str]:
    for f in figures:
        value = f"{f.value:,.0f}" + (f" bytes, {readable(f.value)}" if size else "")
        yield f"{f.name} = {f.formula} = {value}"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
