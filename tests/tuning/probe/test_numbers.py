"""A probe of numbers, made of a model of two layers and asked as every model is."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import gateway
from gateway.backends.llama_cpp.number_probed import NumberProbedLlamaCpp
from gateway.backends.llama_cpp.spec import LlamaCppNumberProbeSpec, LlamaCppSpec
from gateway.core.errors import ConfigError, InvalidRequest, ModelLoadError, Unsupported
from gateway.core.types import Completion, GenerationRequest, Message
from gateway.determinism.certify import load_pulled
from gateway.models.adapters.check import check_probe
from gateway.models.adapters.names import PROBE
from gateway.models.adapters.number_probe import read_number_probe
from gateway.models.adapters.probe import read_probe
from gateway.models.adapters.probe_kind import answers_with_numbers
from gateway.models.spec import PathSource
from gateway.report.pages.adapters import listing, probe_details
from gateway.report.pages.tuning import tuned_lines
from gateway.tasks.tables.options import ReadOptions
from gateway.tuning.job import TrainingJob, TuningOptions, job_of
from gateway.tuning.probe.fit import Choice
from gateway.tuning.probe.numbers import MEDIAN, ProbedNumbers, choose, train
from gateway.tuning.probe.recipe import ProbeRecipe
from gateway.tuning.recipe import Recipe
from tests.support.tiny_gguf import write_gguf
from tests.tuning.worlds import WORDS

TASK = """
kind = "number"
minimum = 0
maximum = 100
[fields]
text = ["text"]
[answer]
points = ["points"]
"""
ASK = '{# mode = "generate"\nmax_tokens = 8 #}{% block user %}{{ text }}{% endblock %}\n'
SIZES = {"typo": 1, "button": 3, "scheduler": 13}
pytestmark = pytest.mark.needs("llama_cpp")
NOBODY = lambda _, __: lambda: None  # noqa: E731


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    (folder / "prompts" / "points").mkdir(parents=True)
    (folder / "prompts" / "points" / "task.toml").write_text(TASK)
    (folder / "prompts" / "points" / "written.j2").write_text(ASK)
    drawn = np.random.default_rng(0)
    rows = ["id,text,points"]
    for number in range(45):
        size = list(SIZES)[number % 3]
        words = [*drawn.choice(WORDS, 4), size]
        rows.append(f"{number},{' '.join(words)},{SIZES[size]}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def spec(root: Path) -> LlamaCppSpec:
    (path,) = write_gguf(root / "tiny.gguf")
    return LlamaCppSpec("tiny", PathSource(path), context_length=512, threads=1)


@pytest.fixture(scope="module")
def job(root: Path, spec: LlamaCppSpec) -> TrainingJob:
    asked = TuningOptions(
        name="sizes",
        task="points",
        train=str(root / "train.csv"),
        strategy="written",
        prompts=root / "prompts",
        recipe=Recipe(held_out=0.2),
        threads=1,
    )
    return job_of(asked, spec, root / "adapters" / "sizes")[0]


@pytest.fixture(scope="module")
def made(job: TrainingJob, root: Path) -> ProbedNumbers:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.tuning.probe.train.data_root", lambda: root / "data")
        return train(job, ProbeRecipe(folds=3), NOBODY)


@pytest.fixture(scope="module")
def backend(made: ProbedNumbers, spec: LlamaCppSpec) -> NumberProbedLlamaCpp:
    probed = spec.probed("tiny+sizes", made.folder)
    assert isinstance(probed, LlamaCppNumberProbeSpec)
    loaded = load_pulled(probed)
    assert isinstance(loaded, NumberProbedLlamaCpp)
    return loaded


def said(backend: NumberProbedLlamaCpp, *texts: str) -> list[Completion]:
    requests = [GenerationRequest("tiny", (Message("user", text),)) for text in texts]

    async def work() -> list[Completion]:
        return await asyncio.gather(*map(backend.generate, requests))

    return asyncio.run(work())


def test_what_the_words_say_is_learned(made: ProbedNumbers) -> None:
    assert made.mae < made.mae_of_median
    (*_, error, _) = tuned_lines(made)
    assert error.startswith("cross-validated mean absolute error on 45 items: ")


def test_an_item_gets_the_number_that_its_word_says(backend: NumberProbedLlamaCpp) -> None:
    small, large = said(backend, "elm birch moss typo", "elm birch moss scheduler")
    assert 1 <= float(small.text) < float(large.text) <= 13
    assert (small.finish_reason, small.usage.completion_tokens) == ("stop", 0)


def test_a_number_depends_on_no_other_request(backend: NumberProbedLlamaCpp) -> None:
    texts = ["elm typo", "moss oak scheduler", "button"]
    together = [each.text for each in said(backend, *texts)]
    assert [said(backend, text)[0].text for text in texts] == together


def test_one_memory_reads_all_that_it_is_asked(
    backend: NumberProbedLlamaCpp, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    real = backend.states

    def counted(layers: tuple[int, ...]) -> object:
        made.append(layers)
        return real(layers)

    monkeypatch.setattr(backend, "_states", None)
    monkeypatch.setattr(backend, "states", counted)
    said(backend, "elm typo", "oak scheduler")
    assert len(made) == bool(backend._probe.layers)


def test_in_a_grid_it_is_asked_by_what_it_has_learned_alone(
    root: Path, spec: LlamaCppSpec, made: ProbedNumbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(spec.source, PathSource)
    (root / "models.toml").write_text(
        f'[models.tiny]\nbackend = "llama_cpp"\nsource = {{ path = "{spec.source.path}" }}\n'
        "context_length = 512\nthreads = 1\n"
    )
    (root / "prompts" / "points" / "other.j2").write_text(ASK.replace("generate", "constrained"))
    (root / "test.csv").write_text("id,text,points\n1,elm typo,1\n2,oak scheduler,13\n")
    monkeypatch.setenv("GATEWAY_ADAPTERS", str(made.folder.parent))
    told: list[str] = []
    found = gateway.run(
        task="points",
        data=str(root / "test.csv"),
        models=("tiny+sizes",),
        strategies=("written", "other"),
        columns=ReadOptions(tell=told.append),
        store=root / "runs.sqlite",
        models_file=root / "models.toml",
        prompts=root / "prompts",
    )
    assert [cell.name for cell in found.record.cells] == ["tiny+sizes/written"]
    assert "tiny+sizes is not asked by other, which it has not learned" in told


def test_what_a_probe_of_numbers_does_not_do_is_refused(backend: NumberProbedLlamaCpp) -> None:
    asked = GenerationRequest("tiny", (Message("user", "elm"),))
    with pytest.raises(Unsupported, match="scoring labels"):
        asyncio.run(backend.score_labels(asked, ("1", "2")))
    with pytest.raises(InvalidRequest, match="not of the template"):
        asyncio.run(backend.generate(GenerationRequest("tiny", prompt="an essay about the sea")))


def test_it_is_listed_and_shown(made: ProbedNumbers) -> None:
    facts = dict(probe_details(made.folder).facts)
    assert facts["answers"] == "1 to 13"
    (table,) = listing(made.folder.parent).tables
    assert [cell.text for cell in table.rows[0][:2]] == ["sizes", "probe"]


def test_what_is_not_a_probe_of_numbers_is_refused(made: ProbedNumbers, tmp_path: Path) -> None:
    assert answers_with_numbers(made.folder)
    with pytest.raises(ConfigError, match="no probe that this version reads"):
        read_probe(made.folder)
    broken = Path(shutil.copytree(made.folder, tmp_path / "broken"))
    tensors = load_file(broken / PROBE)
    save_file(tensors, broken / PROBE, metadata={"number_probe": '{"form": 2}'})
    with pytest.raises(ConfigError, match="no probe that this version reads"):
        check_probe(broken)
    (broken / PROBE).write_bytes(b"nothing")
    assert not answers_with_numbers(broken)
    with pytest.raises(ModelLoadError, match="no readable probe"):
        read_number_probe(broken)


def test_where_nothing_errs_less_than_the_median_it_is_the_answer() -> None:
    answers = np.array([1.0, 2, 3, 5, 8])
    noise = {Choice(1): np.array([8.0, 1, 8, 1, 1]), MEDIAN: np.full(5, 3.0)}
    assert choose(noise, answers, logs=False) == {MEDIAN: 1}
    good = {**noise, Choice(2): answers}
    assert choose(good, answers, logs=False) == {Choice(2): 1}
