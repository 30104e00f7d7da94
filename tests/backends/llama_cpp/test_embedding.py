"""Vectors by the file's pooling, and the scores of rerankers, as the library gives them."""

import asyncio
import ctypes
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.embedding import pair
from gateway.backends.llama_cpp.spec import LlamaCppSpec
from gateway.core.digests import digest_json
from gateway.core.errors import InvalidRequest, ModelLoadError, OtherKind
from gateway.core.types import Embeddings
from gateway.engine.llama import library
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

    def __call__(
        self, name: str, says: Mapping[str, Any] | None = None, **keys: object
    ) -> LlamaCppBackend:
        """Of a file of the table; where it is to say something else, another head with it."""
        classes = len((says or {}).get("classifier.output_labels", ()))
        as_ = f"{name}-{digest_json(says)[:8]}" if says else ""
        path = write(name, self.folder, says=says, as_=as_, classes=classes)
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


RANKERS: Mapping[str, tuple[str, list[str], int]] = {
    "a cross-encoder": ("bert-rank", ["LABEL_0"], 0),
    "two classes": ("qwen3-reranker", ["yes", "no"], 0),
    "the other way round": ("qwen3-reranker", ["no", "yes"], 1),
    "three": ("bert-rank", ["Irrelevant", "Relevant", "Perfect"], 1),
}


@pytest.mark.parametrize("kind", RANKERS)
def test_scores_are_those_that_the_library_gives(kind: str, load: Loading) -> None:
    name, classes, relevant = RANKERS[kind]
    reranker = load(name, says=ranking(classes))
    assert reranker.abilities.classes == tuple(classes)
    found = asyncio.run(reranker.rerank("a dark mode", TEXTS[:4])).scores
    for text, score in zip(TEXTS, found, strict=False):
        tokens = pair(reranker._model, "a dark mode", text)
        theirs = library_s_own(reranker._model.path, tokens, len(classes))
        assert score == pytest.approx(theirs[relevant], abs=1e-6)
        assert len(set(theirs)) == len(classes)


def ranking(classes: list[str]) -> dict[str, Any]:
    return {"classifier.output_labels": classes}


def library_s_own(path: Path, tokens: list[int], classes: int) -> list[float]:
    """What a context says of one sequence, without the keys of 16 bits of flash attention."""
    lib = library.load()
    model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.embeddings, params.pooling_type = True, lib.LLAMA_POOLING_TYPE_RANK
    params.n_threads = params.n_threads_batch = 1
    params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = lib.llama_init_from_model(model, params)
    ids = (ctypes.c_int32 * len(tokens))(*tokens)
    assert lib.llama_decode(context, lib.llama_batch_get_one(ids, len(tokens))) == 0
    found = [float(lib.llama_get_embeddings_seq(context, 0)[n]) for n in range(classes)]
    lib.llama_free(context)
    lib.llama_model_free(model)
    return found


def test_a_classifier_whose_classes_say_nothing_of_relevance_ranks_nothing(load: Loading) -> None:
    three = ["contradiction", "entailment", "neutral"]
    classifier = load("bert-rank", says=ranking(three))
    said = r"^model m ranks no documents: it is a classifier of 3 classes, contradiction, ent"
    with pytest.raises(OtherKind, match=said):
        asyncio.run(classifier.rerank("a dark mode", TEXTS[:4]))
    assert classifier.abilities.uses == ()


def test_a_reranker_that_lost_its_head_ranks_nothing(load: Loading) -> None:
    """The library would tell the first numbers of a state for its scores."""
    for name, says in (("qwen3", {"pooling_type": 4}), ("bert-cls", {"pooling_type": 4})):
        headless = load(name, says=says)
        with pytest.raises(OtherKind, match="a reranker that was converted without its classifier"):
            asyncio.run(headless.rerank("a dark mode", TEXTS[:4]))
    assert load("qwen3", says={"pooling_type": 4}).abilities.uses == ("generate", "score")


def test_a_query_and_its_documents_rank_alike_alone_and_among_32(load: Loading) -> None:
    for name in ("bert-rank", "qwen3-reranker"):
        reranker = load(name)
        together = asyncio.run(reranker.rerank("a dark mode", TEXTS)).scores
        alone = [asyncio.run(reranker.rerank("a dark mode", [text])).scores[0] for text in TEXTS]
        assert list(together) == alone


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
