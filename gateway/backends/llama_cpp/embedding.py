"""Vectors of texts and scores of rerankers: what a model's last layer makes of a whole text.

Each text is read alone, in a context of a size that follows from its own length, so that its bytes
do not depend on the others. These contexts are their own: the engine's sequences are not touched.
"""

import ctypes
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.backends.llama_cpp import adapter as adapters
from gateway.backends.llama_cpp.adapter import Adapter
from gateway.backends.llama_cpp.context import keep_off_the_card, set_attention
from gateway.backends.llama_cpp.model import POOLINGS, GgufModel
from gateway.core.errors import BackendError, ModelLoadError
from gateway.engine.llama import library
from gateway.models.abilities import Pooling

Vector = NDArray[np.float32]

_LEAST, _DOUBLED_TO = 256, 2048


def outputs(
    model: GgufModel,
    texts: Sequence[Sequence[int]],
    pooling: Pooling,
    *,
    threads: int,
    adapter: Adapter | None = None,
) -> list[Vector]:
    """What the model gives for each text.

    Args:
        texts: the tokens of each, at least one.
        pooling: "none" for one row a token.

    Returns:
        As the library gives it, one array a text: (dimensions,), for "rank" (classes,), for "none"
        (tokens, dimensions).

    Raises:
        ModelLoadError: the memory cannot be had.
        BackendError: a pass failed, or gave what is no number.
    """
    found: dict[int, Vector] = {}
    sizes = [_size(len(tokens)) for tokens in texts]
    for size in sorted(set(sizes)):
        with _context(model, size, pooling, threads, adapter) as handle:
            for number, tokens in enumerate(texts):
                if sizes[number] == size:
                    found[number] = _read(model, handle, tokens, pooling)
    return [found[number] for number in range(len(texts))]


def pair(model: GgufModel, query: str, document: str) -> list[int]:
    """What a reranker reads: the file's template "rerank" with both put in; or one behind the
    other, with the tokens that the vocabulary asks for before, between and behind them.

    Raises:
        InvalidRequest: a text is no Unicode.
    """
    texts = {"{query}": query, "{document}": document}
    if template := model.metadata("tokenizer.chat_template.rerank"):
        pieces = re.split(r"(\{query\}|\{document\})", template)
        segments = [(texts.get(piece, piece), piece not in texts) for piece in pieces]
        return model.tokenize([each for each in segments if each[0]], add_special=False)
    first, second = (model.tokenize([(t, False)], add_special=False) for t in texts.values())
    return [*model.before, *first, *model.between, *second, *model.behind]


def unit(vector: Vector) -> Vector:
    """The vector scaled to length 1; one of zeros as it is."""
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    return np.asarray(vector / norm, dtype=np.float32) if norm > 0 else vector


def _size(tokens: int) -> int:
    """Of the context that reads so many: their number must not show in the bytes."""
    if tokens > _DOUBLED_TO:
        return -(-tokens // 1024) * 1024
    return max(_LEAST, 1 << (tokens - 1).bit_length())


@contextmanager
def _context(
    model: GgufModel, size: int, pooling: Pooling, threads: int, adapter: Adapter | None
) -> Iterator[Any]:
    lib = library.load()
    params = lib.llama_context_default_params()
    # A text that is pooled, or read from both sides, is one pass.
    params.n_ctx = params.n_batch = params.n_ubatch = size
    params.n_threads = params.n_threads_batch = threads
    set_attention(lib, params, "plain")
    params.pooling_type = _number(pooling)
    params.embeddings = True
    keep_off_the_card(params, model)
    library.forget_errors()
    handle = lib.llama_init_from_model(model.handle, params)
    if not handle:
        raise ModelLoadError(f"{model.path}: no context for embeddings: {library.recent_errors()}")
    try:
        adapters.select(handle, adapter or model.minimums)
        yield handle
    finally:
        lib.llama_free(handle)


def _number(pooling: Pooling) -> int:
    return next(int(number) for number, name in POOLINGS.items() if name == pooling)


def _read(model: GgufModel, handle: Any, tokens: Sequence[int], pooling: Pooling) -> Vector:
    model.files.check()
    lib = library.load()
    if (memory := lib.llama_get_memory(handle)) is not None:
        lib.llama_memory_clear(memory, True)
    ids = (ctypes.c_int32 * len(tokens))(*tokens)
    # Of a model with two halves the encoder is asked; what has no memory is encoded all the same.
    forward = lib.llama_encode if model.abilities.encoder else lib.llama_decode
    code = forward(handle, lib.llama_batch_get_one(ids, len(tokens)))
    if code != 0:
        raise BackendError(f"llama_decode answered {code}: {library.recent_errors()}")
    found = _copied(model, handle, len(tokens), pooling)
    if not np.isfinite(found).all():
        raise BackendError("the model computes numbers that are not finite (NaN or infinite)")
    return found


def _copied(model: GgufModel, handle: Any, tokens: int, pooling: Pooling) -> Vector:
    lib = library.load()
    shape: tuple[int, ...] = (model.dimensions,)
    if pooling == "none":
        shape, pointer = (tokens, model.dimensions), lib.llama_get_embeddings(handle)
    else:
        if pooling == "rank":
            shape = (len(model.abilities.classes),)
        pointer = lib.llama_get_embeddings_seq(handle, 0)
    if not pointer:
        raise BackendError(f"{model.path.name} gave no {pooling} output")
    return np.ctypeslib.as_array(pointer, shape=shape).copy()
