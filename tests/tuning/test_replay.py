"""A neutral text beside what is learned: its pieces, and that less of it is forgotten."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gateway.backends.transformers.backend import tokenizer_of
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.spec import TransformersSpec
from gateway.core.errors import ConfigError, DataError
from gateway.engine.reader import Reader
from gateway.models.adapters.card import read_card
from gateway.models.spec import PathSource
from gateway.tuning.adapter import TrainedAdapter
from gateway.tuning.job import TrainingJob
from gateway.tuning.layers import prepare
from gateway.tuning.network import Network
from gateway.tuning.recipe import Recipe
from gateway.tuning.replay import PIECE, pieces
from gateway.tuning.tune import tune
from tests.tuning.worlds import RECIPE, WORDS, a_job, unwatched, write_world

SHORT = replace(RECIPE, epochs=1, patience=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of words that the items have too, in an order of its own: a piece and a rest."""
    path = tmp_path_factory.mktemp("text") / "neutral.txt"
    path.write_text(" ".join(WORDS[n * n % 15] for n in range(PIECE + 40)))
    return path


class Tried:
    """The base with an adapter on it."""

    def __init__(self, base: Path, job: TrainingJob) -> None:
        self.model = TorchModel(base, dtype="float32", device="cpu")
        prepare(self.model.module)
        self.tokenizer = tokenizer_of(base, self.model)
        reader = Reader(TransformersSpec.like(job.spec), self.tokenizer)
        self.adapter = TrainedAdapter(self.model.module, self.model.layers, job.recipe)
        stops = reader.vocabulary.stop_ids.tolist()
        self.network = Network(self.model.module, stops, self.adapter.below)
        self.network.train(False)

    def load(self, folder: Path) -> None:
        saved = load_file(folder / "adapter_model.safetensors")
        self.adapter.put({n: saved[n.replace(".default", "")] for n in self.adapter.parameters})

    def diverged(self, text: Path) -> float:
        with torch.no_grad():
            found = [
                self.network.divergence(piece, self.adapter.off())
                for piece in pieces(str(text), self.tokenizer)
            ]
        return float(torch.stack(found).mean())


def test_a_new_adapter_has_forgotten_nothing(base: Path, text: Path, tmp_path: Path) -> None:
    tried = Tried(base, a_job(base, tmp_path))
    assert tried.diverged(text) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("top_layers", [0, 1])
def test_with_replay_less_is_forgotten(
    base: Path, text: Path, tmp_path: Path, top_layers: int
) -> None:
    recipe = replace(SHORT, top_layers=top_layers)
    plain = a_job(base, tmp_path, "plain", recipe=recipe)
    replayed = a_job(
        base, tmp_path, "replayed", recipe=replace(recipe, replay=str(text), replay_weight=20.0)
    )
    tried = Tried(base, plain)
    found = []
    for job in (plain, replayed):
        tried.load(tune(job, unwatched).folder)
        found.append(tried.diverged(text))
    without, with_replay = found
    assert 0 < with_replay < 0.7 * without


def test_the_card_names_the_text_where_there_is_one(base: Path, text: Path, tmp_path: Path) -> None:
    assert "replay_weight" not in Recipe().table()
    assert Recipe(replay="book.txt").table()["replay_weight"] == 1.0
    recipe = replace(SHORT, replay=str(text))
    made = tune(a_job(base, tmp_path, "named", recipe=recipe), unwatched)
    card = read_card(made.folder)
    assert card is not None
    assert card.hyperparameters["replay"] == str(text)


def test_a_weight_without_a_text_and_a_text_that_is_not_there_are_told_first(
    base: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--replay-weight is of a text, and none is given"):
        Recipe(replay_weight=2.0)
    job = a_job(base, tmp_path, recipe=replace(SHORT, replay=str(tmp_path / "none.txt")))
    with pytest.raises(DataError, match="cannot be read"):
        tune(replace(job, spec=replace(job.spec, source=PathSource(tmp_path / "no"))), unwatched)


def test_a_text_is_cut_into_whole_pieces(base: Path, text: Path, tmp_path: Path) -> None:
    tokenizer = Tried(base, a_job(base, tmp_path)).tokenizer
    assert [len(piece) for piece in pieces(str(text), tokenizer)] == [PIECE]
    assert pieces("", tokenizer) == ()
    short = tmp_path / "short.txt"
    short.write_text("oak elm")
    with pytest.raises(DataError, match="2 tokens, and a piece has 128"):
        pieces(str(short), tokenizer)
