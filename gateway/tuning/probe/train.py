"""From labelled items to a probe: `gateway tune --method probe`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.metrics import f1_score

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.errors import ConfigError, DataError
from gateway.core.lists import first_names, plural
from gateway.core.types import GenerationRequest
from gateway.engine.reader import Reader
from gateway.models.adapters.base import architecture_of
from gateway.models.adapters.card import Card, RecordedBase, Scalar
from gateway.models.adapters.heads import Head, Heads, write_heads
from gateway.models.adapters.probe import (
    Floats,
    Frame,
    OnStates,
    OnWords,
    Probe,
    frame_of,
    write_probe,
)
from gateway.models.adapters.timings import Took
from gateway.models.environment import data_root
from gateway.models.locate import described_digests, locate
from gateway.tasks.task import Item
from gateway.tuning.checks.split import folds
from gateway.tuning.job import Stage, TrainingJob
from gateway.tuning.probe.choose import Chosen, candidates, choose, out_of_fold
from gateway.tuning.probe.fit import Choice, Codes, Data, fit_all
from gateway.tuning.probe.halving import Halving, Rounds
from gateway.tuning.probe.heads import FoundHead, find_heads
from gateway.tuning.probe.kept import KeptScores
from gateway.tuning.probe.recipe import ProbeRecipe
from gateway.tuning.probe.saving import card_of, save
from gateway.tuning.probe.shortening import KeptShortener
from gateway.tuning.probe.states import StateStore, collect

_LAYERS = 10
"""How many layers are tried where none are named, evenly over the model."""
_STATES = "states.sqlite"
_LEAST_OF_A_LABEL = 2


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """The items of one group, cross-validated: macro-F1 over the labels that they have."""

    group: str
    items: int
    pooled: float
    """Of the probe of all items."""
    own: float | None
    """Of the head alone; None: there was none to try."""
    answered: float
    """Of what answers them."""
    share: float
    """Of the probe of all items in that; 1: it answers alone."""
    why: str
    """Why it does; empty: it does not."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What came out."""

    folder: Path
    chosen: Chosen
    single: Mapping[str, float]
    """Cross-validated macro-F1 of the best member of each kind alone, by its name."""
    macro_f1: float
    """Cross-validated, of the whole. It was chosen by these items, which flatters it a little."""
    items: int
    seconds_reading: float
    seconds: float
    """All of it, reading too."""
    per: str = ""
    """The column that heads are of; empty: there are none."""
    groups: tuple[ScoredGroup, ...] = ()
    """In the order of their names."""
    rounds: Rounds = field(default_factory=Rounds)
    """By which members were left out before all items were tried; mostly there is none."""

    def mean(self, of: Literal["pooled", "answered"]) -> float:
        """Over the groups, each counting alike."""
        return float(np.mean([getattr(each, of) for each in self.groups]))


@dataclass(frozen=True)
class Material:
    """What the model said of the items."""

    data: Data
    frame: Frame
    base: RecordedBase
    model: str
    """Its fingerprint."""
    seconds: float
    tokens: int = 0
    """Of all prompts."""
    kept: int = 0
    """Items whose states were read before."""


def train(job: TrainingJob, recipe: ProbeRecipe, begin: Stage) -> Probed:
    """Make a probe and save it with its card; a reader never meets half a folder.

    States that were read once are kept on disk, so that a second training takes seconds.

    Raises:
        ConfigError: the task has no labels, the template cannot be probed, the entry is none of
            llama.cpp, or a layer is none of the model.
        DataError: a label has a single item.
        BackendError, StoreError: a pass failed, or a file cannot be written.
    """
    started = time.perf_counter()
    check_entry(job)
    items = (*job.items, *job.held_out)
    golds = _golds(job.labels, items)
    read = read_states(job, items, golds, recipe, begin)
    found = _find(job, recipe, read, begin)
    fitted = begin("members fitted on all items", len(found.chosen.weights))
    probe = _probe(job, read, found.chosen, fitted)
    scores = {choice: _macro_f1(each, golds) for choice, each in found.said.items()}
    result = Probed(
        job.target,
        found.chosen,
        _best_of_each(scores),
        _macro_f1(found.chosen.logprobs, golds),
        len(items),
        read.seconds,
        time.perf_counter() - started,
        recipe.per,
        tuple(_scored(head, golds[head.at]) for head in found.heads),
        found.rounds,
    )
    card = _card(job, recipe, read.base, result)
    _save(job, read, result, probe, found.heads, card, scores)
    return result


@dataclass(frozen=True)
class _Found:
    """What the items say of members."""

    said: Mapping[Choice, Floats]
    """Out of fold, by each that was tried on all items."""
    chosen: Chosen
    rounds: Rounds
    heads: tuple[FoundHead, ...] = ()
    """Where they are asked."""


def _find(job: TrainingJob, recipe: ProbeRecipe, read: Material, begin: Stage) -> _Found:
    items, seed = (*job.items, *job.held_out), job.recipe.seed
    parts = folds(items, recipe.folds, seed)
    with StateStore(data_root() / _STATES, read.model) as store:
        every = candidates(tuple(read.data.states), words=recipe.words)
        choices, rounds = Halving(read.data, parts, store, begin, seed).worth_trying(every)
        done = begin("members tried", len(choices) * (int(parts.max()) + 1))
        said = out_of_fold(choices, read.data, parts, KeptScores(store, read.data, parts), done)
        found = _Found(said, choose(said, read.data.golds), rounds)
        if not recipe.per:
            return found
        heads = find_heads(
            read.data,
            items,
            found.chosen,
            choices,
            store,
            partial(begin, "members of heads tried"),
            count=recipe.folds,
            seed=seed,
        )
    return replace(found, heads=heads)


def _save(
    job: TrainingJob,
    read: Material,
    made: Probed,
    probe: Probe,
    found: Sequence[FoundHead],
    card: Card,
    scores: Mapping[Choice, float],
) -> None:
    heads = Heads(made.per, {each.group: _head(job, read, each) for each in found if not each.why})

    def write(folder: Path) -> None:
        write_probe(folder, probe)
        write_heads(folder, heads)

    rows = [(c.layer, c.pooling if c.layer else "", c.penalty, s) for c, s in scores.items()]
    save(job.target, write, card, "layer,pooling,penalty,macro_f1", rows, took(read, made.seconds))


def _scored(head: FoundHead, golds: Codes) -> ScoredGroup:
    return ScoredGroup(
        head.group,
        len(golds),
        _macro_f1(head.pooled, golds),
        None if head.own is None else _macro_f1(head.own.logprobs, golds),
        _macro_f1(head.logprobs, golds),
        head.share,
        head.why,
    )


def _head(job: TrainingJob, read: Material, found: FoundHead) -> Head:
    assert found.own is not None, "only what was tried has no reason against it"
    own = replace(read, data=read.data.at(found.at))
    return Head(_probe(job, own, found.own, lambda: None), found.share)


def check_entry(job: TrainingJob) -> None:
    """Raise ConfigError for an entry that tells no hidden states; what needs no model."""
    if not isinstance(job.spec, LlamaCppSpec):
        raise ConfigError(
            f"{job.spec.name} has the backend {job.spec.backend}, and a probe is made with an "
            "entry that llama.cpp runs",
            hint="--model with such an entry (gateway models list)",
        )


def _golds(labels: Sequence[str], items: Sequence[Item]) -> Codes:
    codes = {label: code for code, label in enumerate(labels)}
    golds = np.array([codes[str(item.gold)] for item in items])
    counts = np.bincount(golds, minlength=len(labels))
    if few := [label for label, n in zip(labels, counts, strict=True) if 0 < n < _LEAST_OF_A_LABEL]:
        raise DataError(
            f"one item alone has the label {first_names(few)}, and a probe is checked on items "
            "that it did not learn",
            hint="more items of it, or leave it out",
        )
    return golds


def read_states(
    job: TrainingJob, items: Sequence[Item], golds: Codes, recipe: ProbeRecipe, begin: Stage
) -> Material:
    """What the model says of the items; read where it is not kept.

    Raises:
        ConfigError: the template cannot be probed, or a layer is none of the model.
        BackendError, StoreError: a pass failed, or the states cannot be kept.
    """
    assert isinstance(job.spec, LlamaCppSpec)
    spec = replace(job.spec, parallel=1, threads=job.threads or job.spec.threads)
    path = locate(spec)
    digests = described_digests(spec, path)
    started = time.perf_counter()
    backend = LlamaCppBackend(spec, path)
    try:
        layers = _layers(recipe.layers, backend.blocks)
        with StateStore(data_root() / _STATES, backend.fingerprint) as store:
            prompts = _prompts(job, backend.reader, items, store)
            frame = frame_of(prompts)
            done = begin("texts read", len(items))
            states, kept = collect(backend.states, layers, store, prompts, frame, done)
        texts = [_text(backend.reader, prompt, frame) for prompt in prompts]
    finally:
        backend.release()
    by_layer = {layer: states[:, at] for at, layer in enumerate(layers)}
    base = RecordedBase(spec.name, digests.contents, architecture_of(path), int(states.shape[-1]))
    data = Data(by_layer, texts, golds, len(job.labels))
    seconds, tokens = time.perf_counter() - started, sum(map(len, prompts))
    return Material(data, frame, base, backend.fingerprint, seconds, tokens, kept)


def took(read: Material, seconds: float) -> Took:
    """Of a probe, for its folder."""
    return Took(0, 0, read.tokens, round(seconds, 1), read.kept)


def _prompts(
    job: TrainingJob, reader: Reader, items: Sequence[Item], store: StateStore
) -> list[tuple[int, ...]]:
    shortener = KeptShortener(reader, store)
    found = []
    for item in items:
        said = job.template.render(job.task, job.labels, item.fields, (), shortener)
        request = GenerationRequest("", said.messages, answer_start=said.answer_start)
        found.append(reader.render(request).token_ids)
    shortener.save()
    return found


def _text(reader: Reader, prompt: Sequence[int], frame: Frame) -> str:
    span = frame.text(prompt)
    assert span is not None, "a frame is made of these prompts"
    return reader.tokenizer.text_of(prompt[span[0] : span[1]])


def _layers(named: Sequence[int], blocks: int) -> tuple[int, ...]:
    """Those that may be read: what is named, or some evenly over the model."""
    if wrong := [layer for layer in named if not 0 < layer < blocks]:
        raise ConfigError(
            f"--layers {wrong[0]}: the model has {blocks} layers, and states are read behind layer "
            f"1 to {blocks - 1}"
        )
    evenly = np.linspace(1, blocks - 1, min(_LAYERS, blocks - 1)).round().astype(int).tolist()
    return tuple(sorted(set(named or evenly)))


def _probe(job: TrainingJob, read: Material, chosen: Chosen, done: Callable[[], None]) -> Probe:
    members = fit_all(chosen.weights, read.data, done)
    return Probe(
        labels=job.labels,
        states=tuple(each for each in members if isinstance(each, OnStates)),
        words=next((each for each in members if isinstance(each, OnWords)), None),
        temperature=chosen.temperature,
        frame=read.frame,
        dimensions=read.base.hidden_size,
    )


def _macro_f1(logprobs: Floats, golds: Codes) -> float:
    answers = logprobs.argmax(axis=1)
    labels = np.unique(golds)
    return float(f1_score(golds, answers, labels=labels, average="macro", zero_division=0.0))


def _best_of_each(scores: Mapping[Choice, float]) -> Mapping[str, float]:
    """The best score of words, and of each pooling, by its name."""
    best: dict[str, tuple[float, str]] = {}
    for choice, score in scores.items():
        kind = choice.pooling if choice.layer else ""
        best[kind] = max(best.get(kind, (-1.0, "")), (score, str(choice)))
    return {name: score for score, name in best.values()}


def _card(job: TrainingJob, recipe: ProbeRecipe, base: RecordedBase, made: Probed) -> Card:
    members = [
        f"{choice}, C {choice.penalty:g}, weight {weight}"
        for choice, weight in made.chosen.weights.items()
    ]
    golds = _golds(job.labels, (*job.items, *job.held_out))
    metrics = {
        "cross_validated_macro_f1": made.macro_f1,
        "cross_validated_loss": made.chosen.loss(golds),
    }
    if made.groups:
        metrics["cross_validated_mean_over_groups"] = made.mean("answered")
        metrics["cross_validated_mean_over_groups_pooled"] = made.mean("pooled")
    tried = {"tried_on_all_items": str(made.rounds)} if made.rounds.tried else {}
    more: dict[str, Scalar] = {
        "temperature": made.chosen.temperature,
        **tried,
        **_card_heads(made),
    }
    return card_of(job, recipe, base, members, more=more, metrics=metrics)


def _card_heads(made: Probed) -> dict[str, str]:
    """The column, and each group with its head."""
    if not made.per:
        return {}
    said = {
        f"head_{number}": f"{each.group}: {plural(each.items, 'item')}, "
        + (each.why or f"{1 - each.share:.0%} its own")
        for number, each in enumerate(made.groups, 1)
    }
    return {"per": made.per, **said}
