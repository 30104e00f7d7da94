"""A smaller training of the default model, few layers of it, on real issues, and its adapter in
llama.cpp."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.backends.transformers.backend import TransformersBackend
from gateway.evaluation.run import Strategy, question
from gateway.models.adapters.base import read_base
from gateway.models.adapters.folder import read_adapter
from gateway.models.environment import shipped
from gateway.tasks.dataset import load_dataset
from gateway.tasks.exemplars import without_near_duplicates
from gateway.tasks.prompts import load_template
from gateway.tasks.task import load_task
from gateway.tuning.export.export import export
from gateway.tuning.job import TrainingJob
from gateway.tuning.recipe import Recipe
from gateway.tuning.tune import Tuned, tune
from tests.conftest import few_layers
from tests.support.grids import shortest
from tests.support.torch_models import NAME, torch_spec
from tests.tuning.worlds import unwatched

pytestmark = pytest.mark.slow

SMALL = Recipe(
    top_layers=2, learning_rate=2e-3, epochs=2, batch=6, max_tokens=400, dtype="bfloat16"
)
ROOT = shipped("prompts")


@pytest.fixture(scope="module")
def job(issue_reports: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    task = load_task("issue-triage", ROOT)
    folder = tmp_path_factory.mktemp("short")
    train, held_out = (
        load_dataset(str(shortest(issue_reports / name, folder / name, count)), task)
        for name, count in (("train.csv", 18), ("test.csv", 6))
    )
    learned, _ = without_near_duplicates(train.items, held_out.items)
    return TrainingJob(
        spec=replace(torch_spec(), name=NAME),
        task=task,
        labels=tuple(label.name for label in task.labels),
        template=load_template(task, "brief", ROOT),
        items=tuple(learned),
        held_out=held_out.items,
        source=train.path,
        recipe=SMALL,
        target=tmp_path_factory.mktemp("adapters") / "small",
    )


@pytest.fixture(scope="module")
def tuned(job: TrainingJob) -> Tuned:
    return tune(job, unwatched)


def answers(backend: TransformersBackend | LlamaCppBackend, job: TrainingJob) -> list[str]:
    strategy = Strategy(job.template)

    async def ask() -> list[str]:
        said = []
        for item in job.held_out:
            asked = question(job.task, job.labels, strategy, backend, item)
            scores = await backend.score_labels(asked.request, job.labels)
            said.append(max(zip(scores.logprobs, scores.labels, strict=True))[1])
        await backend.close()
        return said

    return asyncio.run(ask())


def test_it_learns(tuned: Tuned) -> None:
    losses = [epoch.loss for epoch in tuned.state.epochs]
    assert losses[-1] < losses[0]
    assert all(epoch.macro_f1 is not None for epoch in tuned.state.epochs)


def test_its_export_answers_in_llama_cpp_as_in_peft(
    tuned: Tuned, job: TrainingJob, dequantized: TransformersBackend, tmp_path: Path
) -> None:
    spec, path = few_layers(NAME)
    made = export(read_adapter(tuned.folder), read_base(spec, path), tmp_path / "adapter.gguf")
    assert dequantized.spec.backend == "transformers", "whose weights are shared"
    torch = TransformersBackend(torch_spec(adapter=tuned.folder), path)
    gguf: LlamaCppSpec = replace(spec, adapter=made.path, context_length=1024, parallel=1)
    ours = answers(torch, job)
    theirs = answers(LlamaCppBackend(gguf, path), job)
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    assert same >= len(ours) - 1, "8-bit activations may turn one that is near"
