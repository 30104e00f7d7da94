"""From a labelled table to an adapter: everything that `gateway tune` does but printing."""

import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import psutil

from gateway import __version__
from gateway.backends.transformers import library
from gateway.backends.transformers.backend import tokenizer_of
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError
from gateway.core.extras import require
from gateway.core.files import write_atomically
from gateway.engine.in_process import usable_cores
from gateway.engine.reader import Reader
from gateway.models.adapters.base import Base, read_base
from gateway.models.adapters.card import (
    Card,
    RecordedBase,
    RecordedData,
    RecordedPrompt,
    write_card,
)
from gateway.models.adapters.timings import TIMINGS, Took, timings_csv
from gateway.models.locate import locate
from gateway.models.weights import shards_identity
from gateway.tasks.prompts import PromptTemplate
from gateway.tuning.adapter import TrainedAdapter
from gateway.tuning.checkpoint import Logged, TrainingState, load
from gateway.tuning.examples import Example, examples
from gateway.tuning.job import TrainingJob
from gateway.tuning.layers import prepare
from gateway.tuning.network import Network
from gateway.tuning.recipe import Recipe
from gateway.tuning.replay import pieces, text_of
from gateway.tuning.saving import data_digest, new_adapter
from gateway.tuning.training import Training, Watching

LOG = "log.csv"
SCORES = "held-out.csv"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a training will take, found by the passes of one step."""

    trained: int
    """Numbers in the adapter."""
    tokens_an_epoch: int
    steps_an_epoch: int
    steps_in_all: int
    """If no epoch is left out."""
    tokens_a_second: float
    seconds: float
    """Likewise."""
    memory: int
    """Bytes of this process at its fullest so far, that pass included."""
    from_step: int
    """Steps that a checkpoint has already."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came out."""

    folder: Path
    state: TrainingState
    trained: int


def took(state: TrainingState) -> Took:
    """Of a training, however often it was interrupted."""
    return Took(
        len(state.epochs),
        state.step,
        sum(each.tokens for each in state.log),
        round(state.seconds, 1),
    )


Begin = Callable[[Estimate, int], Watching]
"""Told what it will take and how many held-out examples there are; answers who watches."""


def tune(job: TrainingJob, begin: Begin, *, restart: bool = False) -> Tuned:
    """Train an adapter and save it with its card; a reader never meets half a folder.

    Args:
        restart: forget the checkpoint of an unfinished training of this name.

    Raises:
        ConfigError: the template shows exemplars or lets the model reason, the model has none of
            the modules, or the folder is there already.
        DataError: an item cannot be learned.
        MissingExtra: torch or peft is not installed.
        BackendError: memory does not suffice.
        StoreError: a checkpoint is of another training, or cannot be written.
    """
    check_target(job.target)
    _check_template(job.template)
    text_of(job.recipe.replay)  # What cannot be read is told before a model is loaded.
    require("peft")
    torch, _ = library.load()
    spec = TransformersSpec.like(job.spec, dtype=job.recipe.dtype)
    path = locate(spec)
    base = read_base(spec, path)
    partial = job.target.with_name(f".tune-{job.target.name}")
    if restart:
        shutil.rmtree(partial, ignore_errors=True)
    model = TorchModel(
        path, dtype=spec.dtype, device=spec.device, quantize=job.recipe.quantize or spec.quantize
    )
    tokenizer = tokenizer_of(path, model)
    try:
        prepare(model.module)
        torch.set_num_threads(job.threads or usable_cores())
        reader = Reader(spec, tokenizer)
        read_by = {**reader.identity, **(shards_identity(path) if path.is_dir() else {})}
        replay = pieces(job.recipe.replay, reader.tokenizer)
        key = _key(job, base, read_by, model.end_tokens, replay)
        kept = load(partial, key)
        read = (job.task, job.labels, job.template, reader, job.recipe.max_tokens)
        learned = examples(job.items, *read)
        held_out = examples(job.held_out, *read)
        adapter = TrainedAdapter(model.module, model.layers, job.recipe)
        stops = reader.vocabulary.stop_ids.tolist()
        network = Network(model.module, stops, adapter.below)
        with library.repeatable():
            sets = (learned, held_out, job.recipe, partial, key, kept, replay)
            training = Training(network, adapter, *sets)
            estimate = _estimate(training, adapter, learned, held_out, job.recipe)
            training.run(begin(estimate, len(held_out)))
        card = _card(job, base, training.state)
        _save(job, adapter, card, base.name, training.state)
    finally:
        tokenizer.close()
        model.close()
    shutil.rmtree(partial, ignore_errors=True)
    return Tuned(job.target, training.state, adapter.trained)


def check_target(folder: Path) -> None:
    """Raise ConfigError where the adapter's folder is there already: before minutes of work."""
    if folder.exists():
        raise ConfigError(
            f"{folder} is there already", hint="give another --name, or remove the folder"
        )


def _check_template(template: PromptTemplate) -> None:
    if template.exemplars or template.reasoning_tokens:
        what = "shows exemplars" if template.exemplars else "lets the model reason first"
        raise ConfigError(
            f"the strategy {template.strategy} {what}, and an adapter learns to answer without",
            hint="--strategy zero_shot",
        )


def _key(
    job: TrainingJob,
    base: Base,
    read_by: Mapping[str, str],
    end_tokens: Sequence[int],
    replay: Sequence[Sequence[int]],
) -> str:
    """Digest of all that decides what comes out, but for the machine.

    Args:
        read_by: how texts are read, by the base's small files: `Reader.identity`.
        replay: as `pieces` answers.
    """
    return digest_json(
        {
            "recipe": _all_of(job.recipe),
            "base": base.digest,
            "read_by": dict(read_by),
            "end_tokens": list(end_tokens),
            "task": job.task.digest,
            "labels": list(job.labels),
            "template": job.template.digest,
            "chat_template": job.spec.chat_template or "",
            "items": data_digest(job.items),
            "held_out": data_digest(job.held_out),
            "versions": _versions(),
            **({"replay": [list(piece) for piece in replay]} if replay else {}),
        }
    )


def _all_of(recipe: Recipe) -> dict[str, object]:
    """Its fields; what replay is, where there is none, says nothing, as before there was any."""
    values = {f.name: getattr(recipe, f.name) for f in fields(Recipe)}
    if not recipe.replay:
        del values["replay"], values["replay_weight"]
    return values


def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "peft")
    return {"local-model-gateway": __version__, **{name: version(name) for name in packages}}


def _estimate(
    training: Training,
    adapter: TrainedAdapter,
    learned: Sequence[Example],
    held_out: Sequence[Example],
    recipe: Recipe,
) -> Estimate:
    trial = training.trial()
    tokens_an_epoch = sum(len(example.row) for example in learned)
    # Without a backward pass a token costs about a third: Kaplan et al. 2020, arXiv:2001.08361,
    # section 2.1, 2 N of 6 N operations; of frozen weights no gradient is computed, so 2 of 4.
    work = tokens_an_epoch + sum(each.tokens for each in held_out) / 2
    left = 1 - training.state.step / training.steps_in_all
    return Estimate(
        trained=adapter.trained,
        tokens_an_epoch=tokens_an_epoch,
        steps_an_epoch=training.steps_an_epoch,
        steps_in_all=training.steps_in_all,
        tokens_a_second=trial.tokens / trial.seconds,
        seconds=(left * recipe.epochs * trial.seconds + trial.once) * work / trial.tokens,
        memory=int(psutil.Process().memory_info().rss),
        from_step=training.state.step,
    )


def _card(job: TrainingJob, base: Base, state: TrainingState) -> Card:
    best = next(each for each in state.epochs if each.epoch == state.best)
    metrics = {"best_epoch": float(best.epoch), "held_out_loss": best.loss}
    if best.macro_f1 is not None:
        metrics["held_out_macro_f1"] = best.macro_f1
    metrics["held_out_items"] = float(len(job.held_out))
    return Card(
        base=RecordedBase(base.name, base.digest, base.architecture, base.hidden_size),
        data=RecordedData(
            job.source,
            data_digest(job.items),
            len(job.items),
        ),
        prompt=RecordedPrompt(job.task.name, job.template.strategy, job.template.digest),
        hyperparameters=job.recipe.table(),
        seed=job.recipe.seed,
        metrics=metrics,
        versions=_versions(),
        created=datetime.now(tz=UTC).date(),
    )


def _save(
    job: TrainingJob, adapter: TrainedAdapter, card: Card, base: str, state: TrainingState
) -> None:
    with new_adapter(
        job.target, "the checkpoint is kept; the same command goes on from it"
    ) as half:
        adapter.save(half, base)
        write_card(half, card)
        write_atomically(half / LOG, _table(Logged, state.log))
        write_atomically(half / SCORES, _table(type(state.epochs[0]), state.epochs))
        write_atomically(half / TIMINGS, timings_csv(took(state)))


def _table(of: type, rows: Sequence[Any]) -> str:
    names = [field.name for field in fields(of)]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return text.getvalue()
