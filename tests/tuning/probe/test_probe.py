"""A probe, made of a model of two layers and asked as every model is."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import gateway
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.probed import ProbedLlamaCpp
from gateway.backends.llama_cpp.spec import LlamaCppProbeSpec, LlamaCppSpec
from gateway.backends.registry import load_backend
from gateway.core.errors import (
    ConfigError,
    DataError,
    InvalidRequest,
    ModelLoadError,
    Unsupported,
)
from gateway.core.types import GenerationRequest, Message
from gateway.determinism.certify import certify, load_pulled
from gateway.models.adapters.names import PROBE
from gateway.models.adapters.probe import Floats, log_softmax, read_probe
from gateway.models.certificates import Level
from gateway.models.spec import PathSource
from gateway.report.pages.adapters import listing, probe_details
from gateway.report.pages.tuning import tuned_lines
from gateway.tasks.tables.options import ReadOptions
from gateway.tuning.job import TrainingJob, TuningOptions, job_of
from gateway.tuning.probe.choose import out_of_fold
from gateway.tuning.probe.fit import Choice, Data, Member, fit, merged, predict
from gateway.tuning.probe.halving import Halving
from gateway.tuning.probe.recipe import ProbeRecipe
from gateway.tuning.probe.train import Probed, train
from gateway.tuning.recipe import Recipe
from tests.support.grids import write_task
from tests.support.tiny_gguf import drawn, write_gguf
from tests.tuning.worlds import write_items

NOBODY = lambda _, __: lambda: None  # noqa: E731


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("probe")


@pytest.fixture(scope="module")
def spec(root: Path) -> LlamaCppSpec:
    (path,) = write_gguf(root / "tiny.gguf")
    return LlamaCppSpec("tiny", PathSource(path), context_length=512, threads=1)


@pytest.fixture(autouse=True)
def own_states(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tuning.probe.train.data_root", lambda: root / "data")


def a_job(root: Path, spec: LlamaCppSpec, name: str, **changes: object) -> TrainingJob:
    asked = TuningOptions(
        name=name,
        task="mine",
        train=str(write_items(root / "train.csv")),
        strategy="scored",
        prompts=write_task(root),
        recipe=Recipe(held_out=0.2),
        threads=1,
    )
    changed = replace(asked, **changes)  # type: ignore[arg-type]
    return job_of(changed, spec, root / "adapters" / name)[0]


@pytest.fixture(scope="module")
def job(root: Path, spec: LlamaCppSpec) -> TrainingJob:
    return a_job(root, spec, "first")


@pytest.fixture(scope="module")
def made(job: TrainingJob, root: Path) -> Probed:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.tuning.probe.train.data_root", lambda: root / "data")
        return train(job, ProbeRecipe(folds=4), NOBODY)


@pytest.fixture
def backend(made: Probed, spec: LlamaCppSpec) -> Iterator[ProbedLlamaCpp]:
    probed = spec.probed("tiny+first", made.folder)
    assert isinstance(probed, LlamaCppProbeSpec)
    loaded = load_pulled(probed)
    assert isinstance(loaded, ProbedLlamaCpp)
    yield loaded
    asyncio.run(loaded.close())


def asked(job: TrainingJob, backend: ProbedLlamaCpp, text: str) -> GenerationRequest:
    said = job.template.render(job.task, job.labels, {"text": text}, (), backend.reader)
    return GenerationRequest("tiny", said.messages, answer_start=said.answer_start)


def scores(backend: ProbedLlamaCpp, *requests: GenerationRequest) -> list[tuple[float, ...]]:
    async def work() -> list[tuple[float, ...]]:
        found = await asyncio.gather(*(backend.score_labels(r, ("yes", "no")) for r in requests))
        return [each.logprobs for each in found]

    return asyncio.run(work())


def test_what_the_words_say_is_learned(made: Probed) -> None:
    assert made.macro_f1 > 0.9
    assert "words" in made.single


def test_an_item_gets_the_answer_that_its_word_says(
    job: TrainingJob, backend: ProbedLlamaCpp
) -> None:
    sunny, rainy = scores(
        backend,
        asked(job, backend, "elm birch sun fjord moss"),
        asked(job, backend, "elm birch rain fjord moss"),
    )
    assert sunny[0] > np.log(0.5) > rainy[0]
    assert np.exp(sunny).sum() == pytest.approx(1.0)


def test_what_is_served_is_what_was_trained(
    job: TrainingJob, made: Probed, backend: ProbedLlamaCpp
) -> None:
    """The members' own scores on the training items, against those of the backend."""
    text = job.items[0].fields["text"]
    prompt = backend.render(asked(job, backend, text)).token_ids
    probe = read_probe(made.folder)
    start, stop = probe.frame.text(prompt) or (0, 0)
    assert backend.reader.tokenizer.text_of(prompt[start:stop]).strip() == text
    reader = backend.states(probe.layers or (1,))
    states = reader.read(prompt, start, stop).astype(np.float64)
    reader.close()
    words = backend.reader.tokenizer.text_of(prompt[start:stop])
    by_layer = dict(zip(probe.layers, states, strict=False))
    expected = dict(
        zip(probe.labels, probe.log_probabilities(by_layer, words).tolist(), strict=True)
    )
    assert scores(backend, asked(job, backend, text)) == [(expected["yes"], expected["no"])]


def test_bytes_do_not_depend_on_what_is_asked_beside(
    job: TrainingJob, made: Probed, backend: ProbedLlamaCpp
) -> None:
    requests = [asked(job, backend, f"{word} sun {word}") for word in ("oak", "elm", "iris moss")]
    alone = [scores(backend, request)[0] for request in requests]
    assert scores(backend, *reversed(requests)) == alone[::-1]


def test_it_certifies_bitwise(made: Probed, spec: LlamaCppSpec) -> None:
    probed = spec.probed("tiny+first", made.folder)
    assert asyncio.run(certify(probed, load_pulled, None)).level is Level.BITWISE


def test_the_same_command_gives_the_same_file_without_reading_again(
    root: Path, spec: LlamaCppSpec, made: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("the states are kept")

    monkeypatch.setattr(LlamaCppBackend, "states", read)
    tried = out_of_fold

    def none_tried(*args: object) -> object:
        monkeypatch.setattr("gateway.tuning.probe.choose.fit", read)
        return tried(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("gateway.tuning.probe.train.out_of_fold", none_tried)
    again = train(a_job(root, spec, "again"), ProbeRecipe(folds=4), NOBODY)
    assert (again.folder / PROBE).read_bytes() == (made.folder / PROBE).read_bytes()


def test_members_tried_on_one_thread_say_the_same(
    root: Path, spec: LlamaCppSpec, made: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.tuning.probe.choose.usable_cores", lambda: 1)
    monkeypatch.setattr("gateway.tuning.probe.kept.KeptScores.get", lambda *_: None)
    alone = train(a_job(root, spec, "alone"), ProbeRecipe(folds=4), NOBODY)
    assert (alone.folder / PROBE).read_bytes() == (made.folder / PROBE).read_bytes()


def test_members_left_out_after_a_part_of_the_items_are_counted(
    root: Path, spec: LlamaCppSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.tuning.probe.train.Halving", partial(Halving, most_work=0))
    halved = train(a_job(root, spec, "halved"), ProbeRecipe(folds=2), NOBODY)
    assert halved.rounds.left < halved.rounds.tried == 12
    assert f"tried on all items: {halved.rounds}" in tuned_lines(halved)
    assert str(halved.rounds) in str(probe_details(halved.folder))


def test_states_are_the_same_bytes_behind_another_prompt(spec: LlamaCppSpec, made: Probed) -> None:
    from gateway.models.locate import locate

    loaded = LlamaCppBackend(spec, locate(spec))
    reader = loaded.states((1,))
    first, second = range(20, 60), [*range(20, 40), *range(90, 140)]
    alone = reader.read(first, 20, 38)
    reader.read(second, 20, 60)
    assert np.array_equal(reader.read(first, 20, 38), alone)
    assert reader.read([*range(5), *first], 25, 43).shape == (1, 2, 64)
    assert np.array_equal(reader.read(first, 20, 38), alone)
    reader.close()
    loaded.release()


def test_another_template_is_refused(backend: ProbedLlamaCpp) -> None:
    other = GenerationRequest("tiny", (Message("system", "Answer."), Message("user", "sun")))
    with pytest.raises(InvalidRequest, match="not of the template"):
        scores(backend, other)


def test_a_label_that_it_never_saw_is_refused(job: TrainingJob, backend: ProbedLlamaCpp) -> None:
    request = asked(job, backend, "sun")
    with pytest.raises(InvalidRequest, match="has not learned maybe"):
        asyncio.run(backend.score_labels(request, ("yes", "maybe")))


def test_it_does_not_generate(job: TrainingJob, backend: ProbedLlamaCpp) -> None:
    with pytest.raises(Unsupported, match="which is a probe"):
        asyncio.run(backend.generate(asked(job, backend, "sun")))


def test_other_weights_are_refused(made: Probed, spec: LlamaCppSpec, tmp_path: Path) -> None:
    (other,) = write_gguf(tmp_path / "other.gguf", drawn(1))
    changed = replace(spec, source=PathSource(other)).probed("other+first", made.folder)
    with pytest.raises(ModelLoadError, match="not for this base model"):
        load_backend(changed, other)


def test_a_damaged_file_is_told(made: Probed, spec: LlamaCppSpec, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(made.folder, folder)
    whole = (folder / PROBE).read_bytes()
    (folder / PROBE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelLoadError, match="no readable probe"):
        read_probe(folder)
    save_file(load_file(made.folder / PROBE), folder / PROBE)
    with pytest.raises(ConfigError, match="no probe that this version reads"):
        read_probe(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": Recipe(rank=8)}, "--rank"),
        ({"curve": (10,)}, "--curve"),
        ({"validation": "some.csv"}, "--validation"),
    ],
)
def test_what_is_of_an_adapter_is_refused_by_name(
    changes: dict[str, object], said: str, root: Path
) -> None:
    from gateway.tuning.run import _probed

    with pytest.raises(ConfigError, match=said):
        _probed(TuningOptions("n", "mine", "t", method="probe", **changes), None)  # type: ignore[arg-type]


def test_a_layer_that_the_model_has_not_is_refused(root: Path, spec: LlamaCppSpec) -> None:
    with pytest.raises(ConfigError, match=r"--layers 2: the model has 2 layers"):
        train(a_job(root, spec, "high"), ProbeRecipe(layers=(2,)), NOBODY)


def test_a_label_of_one_item_is_refused(root: Path, spec: LlamaCppSpec) -> None:
    file = write_items(root / "few.csv", 8)
    rows = file.read_text().splitlines()
    file.write_text("\n".join([*rows[:1], *[r for r in rows if ",yes," in r], rows[2]]) + "\n")
    with pytest.raises(DataError, match="one item alone has the label no"):
        train(a_job(root, spec, "few", train=str(file)), ProbeRecipe(), NOBODY)


@pytest.fixture
def named(root: Path, spec: LlamaCppSpec, made: Probed, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models.toml with the entry; the probe is in the folder of adapters."""
    assert isinstance(spec.source, PathSource)
    file = root / "models.toml"
    file.write_text(
        f'[models.tiny]\nbackend = "llama_cpp"\nsource = {{ path = "{spec.source.path}" }}\n'
        "context_length = 512\nthreads = 1\n"
    )
    monkeypatch.setenv("GATEWAY_ADAPTERS", str(made.folder.parent))
    return file


def test_a_text_is_classified_by_the_strategy_that_it_has_learned(root: Path, named: Path) -> None:
    classify = partial(
        gateway.classify,
        task="mine",
        model="tiny+first",
        models_file=named,
        prompts=root / "prompts",
    )
    found = classify(["elm sun fjord"])
    assert found.answers[0].answer == "yes"
    with pytest.raises(ConfigError, match="has learned one prompt, and it is not written"):
        classify(["sun"], strategy="written")


def test_in_a_grid_it_is_asked_by_what_it_has_learned_alone(root: Path, named: Path) -> None:
    told: list[str] = []
    found = gateway.run(
        task="mine",
        data=str(write_items(root / "test.csv", 8)),
        models=("tiny", "tiny+first"),
        strategies=("written", "scored"),
        columns=ReadOptions(tell=told.append),
        store=root / "runs.sqlite",
        models_file=named,
        prompts=root / "prompts",
    )
    assert {cell.name for cell in found.record.cells} == {
        "tiny/written",
        "tiny/scored",
        "tiny+first/scored",
    }
    assert "tiny+first is not asked by written, which it has not learned" in told


def test_it_is_listed_and_shown(root: Path, made: Probed) -> None:
    assert "probe" in str(listing(root / "adapters"))
    shown = str(probe_details(made.folder))
    assert "yes" in shown
    assert "cross_validated_macro_f1" in shown


def test_members_that_read_the_same_are_one_and_say_what_they_said_together() -> None:
    draws = np.random.default_rng(0)
    texts = ["sun elm", "sun oak", "rain elm", "rain oak", "sun sun", "rain oak elm"] * 4
    golds = np.array([0, 0, 1, 1, 2, 1] * 4)
    states = {3: draws.normal(size=(24, 2, 5)).astype(np.float32)}
    data = Data(states, texts, golds, 3)
    weights = {Choice(3, "mean", 0.1): 2, Choice(3, "mean", 1.0): 1, Choice(3, "last", 1.0): 1}
    weights |= {Choice(0, penalty=10.0): 1, Choice(0, penalty=100.0): 3}
    members = [fit(choice, data, weight) for choice, weight in weights.items()]
    fewer = merged(members)
    assert [each.weight for each in fewer] == [3, 1, 4]

    def said(each: list[Member]) -> Floats:
        total = sum((m.weight * predict(m, data) for m in each), np.zeros(()))
        return log_softmax(total / 8)

    assert np.abs(said(fewer) - said(members)).max() < 1e-12
