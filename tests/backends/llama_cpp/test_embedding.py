"""Vectors by the file's pooling, and the scores of rerankers, as the library gives them."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.errors import InvalidRequest, ModelLoadError, OtherKind
from gateway.core.types import Embeddings
from gateway.models.spec import PathSource
from tests.support.architectures import write

pytestmark = pytest.mark.needs("llama_cpp")

TEXTS = [f"the page crashes when i {'scroll ' * n}" for n in range(1, 33)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedding")


def spec_of(path: Path, **keys: object) -> LlamaCppSpec:
    spec = LlamaCppSpec("m", PathSource(path), context_length=512, threads=1, parallel=1)
    return LlamaCppSpec.like(spec, **keys)


@pytest.fixture
def load(folder: Path) -> Iterator["Loading"]:
    loading = Loading(folder)
    yield loading
    for backend in loading.backends:
        asyncio.run(backend.close())


class Loading:
    """Backends of tiny files, closed behind the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backends: list[LlamaCppBackend] = []

    def __call__(self, name: str, **keys: object) -> LlamaCppBackend:
        path = write(name, self.folder)
        self.backends.append(LlamaCppBackend(spec_of(path, **keys), path))
        return self.backends[-1]


@pytest.mark.parametrize("name", ["bert-cls", "bert-mean", "qwen3-embedding"])
def test_vectors_are_the_library_s_own(name: str, load: Loading) -> None:
    from llama_cpp import Llama

    found = asyncio.run(load(name).embed(TEXTS)).vectors
    path = str(load.folder / f"{name}.gguf")
    theirs = Llama(path, embedding=True, n_ctx=512, n_ubatch=512, n_threads=1, verbose=False)
    for text, vector in zip(TEXTS[::5], found[::5], strict=True):
        other = np.array(theirs.embed(text, normalize=True))
        assert other @ np.array(vector) > 1 - 1e-6
    theirs.close()


def test_an_entry_may_name_another_pooling_and_leave_vectors_as_they_are(load: Loading) -> None:
    by_mean, by_first = load("bert-mean"), load("bert-mean", pooling="cls", normalize=False)
    (mean,), (first,) = (asyncio.run(b.embed(TEXTS[:1])).vectors for b in (by_mean, by_first))
    assert abs(np.linalg.norm(mean) - 1) < 1e-6 < abs(np.linalg.norm(first) - 1)
    assert abs(np.dot(mean, first) / np.linalg.norm(first)) < 0.999
    assert by_first.identity["pooling"] == "cls"
    assert by_first.identity["normalize"] == "no"
    assert "pooling" not in by_mean.identity


def test_a_reranker_scores_documents_and_gives_no_vectors(load: Loading) -> None:
    reranker = load("bert-rank")
    found = asyncio.run(reranker.rerank("a dark mode", TEXTS))
    (alone,) = asyncio.run(reranker.rerank("a dark mode", TEXTS[6:7])).scores
    assert found.scores[6] == alone
    assert len({*found.scores}) == len(TEXTS)
    with pytest.raises(OtherKind, match=r"^model m gives no vectors: it is a reranker \(bert\)"):
        asyncio.run(reranker.embed(TEXTS))
    with pytest.raises(InvalidRequest, match="no documents"):
        asyncio.run(reranker.rerank("x", []))
    assert asyncio.run(load("bert-rank", pooling="cls").embed(TEXTS[:1])).width == 32


def test_a_reranker_of_two_classes_gives_the_first_one_s_probability(load: Loading) -> None:
    reranker = load("qwen3-reranker")
    assert reranker.abilities.classes == ("yes", "no")
    scores = asyncio.run(reranker.rerank("a dark mode", TEXTS[:4])).scores
    assert all(0 < score < 1 for score in scores)


def test_a_pooling_that_nobody_knows_is_refused(folder: Path) -> None:
    path = write("bert-mean", folder, says={"pooling_type": 9}, as_="unknown")
    with pytest.raises(ModelLoadError, match="its pooling_type is 9"):
        LlamaCppBackend(spec_of(path), path)


def test_vectors_are_cut_to_fewer_dimensions_and_are_units_again() -> None:
    found = Embeddings(((0.6, 0.0, 0.8), (0.0, 0.0, 1.0)), 2, "")
    assert found.cut(2).vectors == ((1.0, 0.0), (0.0, 0.0))
    assert replace(found, unit=False).cut(2).vectors == ((0.6, 0.0), (0.0, 0.0))
    assert found.cut(3) is found
    with pytest.raises(InvalidRequest, match="dimensions is 4; this model has 3"):
        found.cut(4)
