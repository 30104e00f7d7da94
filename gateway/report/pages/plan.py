"""What `gateway plan` prints."""

from collections.abc import Iterable, Iterator

from gateway.core.sizes import readable
from gateway.report.format import ABSENT
from gateway.report.sections import Head, Section, by_rows, numbers
from gateway.tuning.plan.architecture import Architecture
from gateway.tuning.plan.figures import Figure, number, total
from gateway.tuning.plan.guide import Advice
from gateway.tuning.plan.hyperparameters import RANKS, WARM_SHARE, Range, Steps
from gateway.tuning.plan.inference_memory import remarks
from gateway.tuning.plan.parameters import parameters
from gateway.tuning.plan.plan import ModelPlan, TuningPlan
from gateway.tuning.plan.setup import SINGLE
from gateway.tuning.plan.training_memory import BESIDE, TrainingMemory
from gateway.tuning.plan.zero import DIVIDES

_MOMENTS = ("loss", "first block backward", "last block backward", "optimizer step")


def sections(made: TuningPlan, *, formulas: bool) -> Iterator[Section]:
    """The advice, then the tables, each with its formulas below."""
    yield Section("advice", lines=tuple(_advice(made.advice, made.model)))
    if made.model is not None:
        yield from _model(made.model, formulas)
    yield _hyperparameters(made.ranges, made.steps)


def families_section(known: Iterable[Architecture]) -> Section:
    """One row a shipped family."""
    rows = []
    for a in known:
        sizes = (int(total(parameters(a))), a.layers, a.hidden, a.heads, a.kv_heads)
        rows.append((a.name, *(f"{n:,}" for n in sizes), a.source))
    sizes_of = numbers("parameters", "layers", "hidden", "heads", "kv heads")
    return Section(tables=(by_rows(("family", *sizes_of, Head("of", breaks=True)), rows),))


def _advice(advice: Advice, model: ModelPlan | None) -> Iterator[str]:
    yield f"advice: {advice.verdict}"
    if model is not None:
        yield f"if you fine-tune, with: {model.with_what()}"
    for rule in advice.reasons:
        yield f"- {rule.name}: {rule.because} [{rule.source}]"
    if advice.questions:
        yield "what would sharpen it:"
        yield from (f"  {question}" for question in advice.questions)


def _model(model: ModelPlan, formulas: bool) -> Iterator[Section]:
    a = model.architecture
    said = (
        f"{a.name} ({a.source}): {model.parameters:,} parameters, {a.layers} layers of "
        f"{a.hidden}, {a.heads} heads, {a.kv_heads} of keys and values"
    )
    counted = _formulas("parameters", parameters(a), size=False) if formulas else ()
    yield Section("model", lines=(said, *counted))
    yield _ranks(model, formulas)
    yield _training(model, formulas)
    yield _inference(model, formulas)
    yield _zero(model, formulas)


def _ranks(model: ModelPlan, formulas: bool) -> Section:
    s = model.setup
    rows = []
    for rank, figures in model.ranks.items():
        trained = int(total(figures))
        share = f"{100 * trained / model.parameters:.3f}%"
        rows.append((str(rank), f"{trained:,}", share, readable(trained * SINGLE)))
    heads = numbers("rank", "trained", "of the model", "adapter file")
    what = f"LoRA of rank {s.rank}, and of others likewise; its file has {SINGLE} bytes a weight"
    return Section(
        "ranks",
        f"LoRA on {', '.join(target.name for target in s.targets)}",
        tables=(by_rows(heads, rows),),
        lines=tuple(_formulas(what, model.ranks[s.rank], size=False)) if formulas else (),
    )


def _training(model: ModelPlan, formulas: bool) -> Section:
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
    low, high = map(readable, BESIDE)
    beside = (
        f"each is what torch allocates on one device; beside it are {low} to {high} of CUDA "
        "context and kernels, and what the allocator cannot use"
    )
    shown = model.memories.items() if formulas else ()
    return Section(
        "training",
        f"{what}, {kept} checkpointing",
        tables=(by_rows(("training", *numbers(*_MOMENTS, "peak"), *budget), rows),),
        lines=(beside, *(line for name, memory in shown for line in _moments(name, memory))),
    )


def _moments(name: str, memory: TrainingMemory) -> Iterator[str]:
    """Each term once, then which of them are together."""
    terms = {figure.name: figure for figures in memory.moments.values() for figure in figures}
    yield from _formulas(name, terms.values())
    for moment, figures in memory.moments.items():
        yield f"  {moment} = {' + '.join(figure.name for figure in figures)}"


def _inference(model: ModelPlan, formulas: bool) -> Section:
    contexts = [f"with {number(context)} tokens" for context in model.contexts]
    rows = [
        (
            found.level.name,
            f"{found.bits:g}",
            *map(readable, (found.weights.value, *found.totals)),
        )
        for found in model.inference
    ]
    weights = [found.weights for found in model.inference]
    terms = (*weights, *model.inference[0].caches)
    return Section(
        "running",
        "running it (llama.cpp)",
        tables=(by_rows(("level", *numbers("bits a weight", "weights", *contexts)), rows),),
        lines=(
            *remarks(model.architecture),
            *(_formulas("running it", terms) if formulas else ()),
        ),
    )


def _zero(model: ModelPlan, formulas: bool) -> Section:
    stages = [f"ZeRO {n}" for n in range(len(DIVIDES))]
    rows = []
    for (name, devices), found in model.zero.items():
        cells = [f"{readable(x.memory.total)} (-{readable(x.saved)})" for x in found]
        rows.append((name, str(devices), readable(found[0].memory.total), *cells[1:]))
    return Section(
        "zero",
        "peak of each device by stage, and what it saves",
        tables=(by_rows(("training", *numbers("devices", *stages)), rows),),
        lines=(
            *(f"ZeRO {n} divides {divides}" for n, divides in enumerate(DIVIDES)),
            *(_of_stages(model) if formulas else ()),
        ),
    )


def _of_stages(model: ModelPlan) -> Iterator[str]:
    """What each stage changes, of the last training."""
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
        yield from _formulas(what, changed.values())


def _hyperparameters(ranges: Iterable[Range], long: Steps | None) -> Section:
    rows = [(r.name, r.range, r.begin, r.why, r.source) for r in ranges]
    lines = [f"rank {' to '.join(map(str, r.ranks))}: {r.use} [{r.source}]" for r in RANKS]
    if long is not None:
        lines.append(
            f"{long.total:,} steps = {long.formula}; {long.warm_up:,} of them, "
            f"ceil({WARM_SHARE} x {long.total:,}), to warm up"
        )
    table = by_rows(("hyperparameter", "range", "begin with", "why", "source"), rows)
    return Section("hyperparameters", tables=(table,), lines=tuple(lines))


def _formulas(what: str, figures: Iterable[Figure], *, size: bool = True) -> Iterator[str]:
    yield f"{what}:"
    for f in figures:
        value = f"{f.value:,.0f}" + (f" bytes, {readable(f.value)}" if size else "")
        yield f"  {f.name} = {f.formula} = {value}"
