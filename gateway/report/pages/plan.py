"""What `gateway plan` prints."""

from collections.abc import Iterable, Iterator

from rich.console import Console

from gateway.core.sizes import readable
from gateway.report.format import ABSENT
from gateway.report.table import Head, Heads, numbers, print_rows, say
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


def plan(made: Plan, console: Console, *, formulas: bool) -> None:
    """The advice, then the tables, each with its formulas below."""
    _advice(made.advice, made.model, console)
    if made.model is not None:
        _model(made.model, console, formulas)
    _hyperparameters(made.ranges, made.steps, console)


def families_table(known: Iterable[Architecture], console: Console) -> None:
    """One row a shipped family."""
    rows = []
    for a in known:
        sizes = (int(total(parameters(a))), a.layers, a.hidden, a.heads, a.kv_heads)
        rows.append((a.name, *(f"{n:,}" for n in sizes), a.source))
    sizes_of = numbers("parameters", "layers", "hidden", "heads", "kv heads")
    print_rows(("family", *sizes_of, Head("of", breaks=True)), rows, console)


def _advice(advice: Advice, model: ModelPlan | None, console: Console) -> None:
    say(console, f"advice: {advice.verdict}")
    if model is not None:
        say(console, f"if you fine-tune, with: {model.with_what()}")
    for rule in advice.reasons:
        say(console, f"- {rule.name}: {rule.because} [{rule.source}]")
    if advice.questions:
        say(console, "what would sharpen it:")
        for question in advice.questions:
            say(console, f"  {question}")


def _model(model: ModelPlan, console: Console, formulas: bool) -> None:
    a, s = model.architecture, model.setup
    say(
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
    rows = []
    for rank, figures in model.ranks.items():
        trained = int(total(figures))
        share = f"{100 * trained / model.parameters:.3f}%"
        rows.append((str(rank), f"{trained:,}", share, readable(trained * SINGLE)))
    heads = numbers("rank", "trained", "of the model", "adapter file")
    print_rows(heads, rows, console, f"LoRA on {names}")


def _training(model: ModelPlan, console: Console) -> None:
    s = model.setup
    what = f"{s.batch} x {s.context} tokens, {s.optimizer}, ZeRO {s.stage} on {s.devices}"
    kept = "with" if s.checkpointing else "without"
    budget = [] if model.budget is None else [f"in {readable(model.budget)}"]
    rows = []
    for name, memory in model.memories.items():
        moments = memory.moments
        cells = [readable(total(moments[m])) if m in moments else ABSENT for m in _MOMENTS]
        fits = [] if model.budget is None else ["fits" if model.fits(memory) else "too large"]
        rows.append((name, *cells, readable(memory.total), *fits))
    heads: Heads = ["training", *numbers(*_MOMENTS, "peak"), *budget]
    print_rows(heads, rows, console, f"{what}, {kept} checkpointing")
    low, high = map(readable, BESIDE)
    say(
        console,
        f"each is what torch allocates on one device; beside it are {low} to {high} of CUDA "
        "context and kernels, and what the allocator can not use",
    )


def _moments(name: str, memory: Memory, console: Console) -> None:
    """Each term once, then which of them are together."""
    terms = {figure.name: figure for figures in memory.moments.values() for figure in figures}
    _formulas([(name, terms.values())], console)
    for moment, figures in memory.moments.items():
        say(console, f"  {moment} = {' + '.join(figure.name for figure in figures)}")


def _inference(model: ModelPlan, console: Console, formulas: bool) -> None:
    contexts = [f"with {number(context)} tokens" for context in model.contexts]
    rows = [
        (
            found.level.name,
            f"{found.bits:g}",
            *map(readable, (found.weights.value, *found.totals)),
        )
        for found in model.inference
    ]
    heads: Heads = ["level", *numbers("bits a weight", "weights", *contexts)]
    print_rows(heads, rows, console, "running it (llama.cpp)")
    for remark in remarks(model.architecture):
        say(console, remark)
    if formulas:
        weights = [found.weights for found in model.inference]
        _formulas([("running it", (*weights, *model.inference[0].caches))], console)


def _zero(model: ModelPlan, console: Console, formulas: bool) -> None:
    stages = [f"ZeRO {n}" for n in range(len(DIVIDES))]
    rows = []
    for (name, devices), found in model.zero.items():
        cells = [f"{readable(x.memory.total)} (-{readable(x.saved)})" for x in found]
        rows.append((name, str(devices), readable(found[0].memory.total), *cells[1:]))
    heads: Heads = ["training", *numbers("devices", *stages)]
    print_rows(heads, rows, console, "peak of each device by stage, and what it saves")
    for n, divides in enumerate(DIVIDES):
        say(console, f"ZeRO {n} divides {divides}")
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
    rows = [(r.name, r.range, r.begin, r.why, r.source) for r in ranges]
    print_rows(("hyperparameter", "range", "begin with", "why", "source"), rows, console)
    for rank in RANKS:
        ranks = " to ".join(map(str, rank.ranks))
        say(console, f"rank {ranks}: {rank.use} [{rank.source}]")
    if long is not None:
        say(
            console,
            f"{long.total:,} steps = {long.formula}; {long.warm_up:,} of them, "
            f"ceil({WARM_SHARE} x {long.total:,}), to warm up",
        )


def _formulas(
    groups: Iterable[tuple[str, Iterable[Figure]]], console: Console, *, size: bool = True
) -> None:
    for what, figures in groups:
        say(console, f"{what}:")
        for line in _lines(figures, size):
            say(console, f"  {line}")


def _lines(figures: Iterable[Figure], size: bool) -> Iterator[str]:
    for f in figures:
        value = f"{f.value:,.0f}" + (f" bytes, {readable(f.value)}" if size else "")
        yield f"{f.name} = {f.formula} = {value}"
