"""A llama context: the key-value memory of some sequences, and the forward pass.

Everything here is called from one thread only, the engine's.
"""

import ctypes
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gateway.backends.llama_cpp import adapter as adapters
from gateway.backends.llama_cpp.adapter import Adapter
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.offload import too_large
from gateway.core.errors import BackendError, ModelLoadError
from gateway.core.sizes import available_bytes, readable
from gateway.engine.context import OUTPUTS_PER_PASS, Logits, PassRow
from gateway.engine.llama import library

Attending = Literal["plain", "flash", "any"]
"""How a context attends.

"plain": as separate products of matrices.
"flash": in one operation. It has three kernels (`ggml_compute_forward_flash_attn_ext_f16` in
`ggml-cpu/ops.cpp`): for 64 or more query tokens, for a single one behind many, and for all else.
The first two want keys of F16 or F32. So keys are Q8_0, and the third is always taken.
"any": what the library finds faster; its bytes depend on what is batched."""

_FLASH: Mapping[Attending, str] = {"plain": "DISABLED", "flash": "ENABLED", "any": "AUTO"}


class Context:
    """Memory for `sequences` sequences of `length` tokens each.

    Each sequence has its own buffer (`kv_unified=False`), and sliding windows keep every position
    (`swa_full`, so that a prefix can be reused).

    Args:
        batch_tokens: most tokens in one forward pass, and at least one for each sequence.
        attention: see `Attending`.
        on_eval: a `ggml_backend_sched_eval_callback` of the library, which sees the operations of
            each pass; the caller keeps it alive.

    Raises:
        ModelLoadError: the memory cannot be had; found out before it is asked for, because the
            system would end the process instead.
    """

    mixes_adapters = False
    """The library sets adapters for a whole pass."""

    def __init__(
        self,
        model: GgufModel,
        *,
        sequences: int,
        length: int,
        threads: int,
        batch_tokens: int = 128,
        attention: Attending = "plain",
        on_eval: Any = None,
    ) -> None:
        lib = library.load()
        _check_memory(model, sequences, length, attention)
        batch_tokens = max(batch_tokens, sequences)
        params = lib.llama_context_default_params()
        params.n_ctx = sequences * length
        params.n_seq_max = sequences
        params.n_batch = params.n_ubatch = batch_tokens
        params.n_outputs_max = max(OUTPUTS_PER_PASS, sequences)
        params.n_outputs_max_per_seq = 0
        params.n_threads = params.n_threads_batch = threads
        _set_attention(lib, params, attention)
        params.kv_unified = False
        params.swa_full = True
        _keep_off_the_card(params, model)
        if on_eval is not None:
            params.cb_eval = on_eval
        library.forget_errors()
        self._handle = lib.llama_init_from_model(model.handle, params)
        if not self._handle:
            said = f"no context of {sequences} x {length} tokens: {library.recent_errors()}"
            message, hint = f"{model.path}: {said}", "lower context_length or parallel"
            if model.offload.layers:
                message, hint = too_large(model.path, model.offload, said)
            raise ModelLoadError(message, hint=f"{hint} in models.toml")
        self.memory = library.memory_taken()
        self._lib = lib
        self._vocab_size = model.vocab_size
        self._memory = lib.llama_get_memory(self._handle)
        self._batch = lib.llama_batch_init(batch_tokens, 0, 1)
        self.length: int = lib.llama_n_ctx_seq(self._handle)
        self.sequences = sequences
        self.batch_tokens = batch_tokens
        self._adapter: Adapter | None = None

    def close(self) -> None:
        """Free the memory."""
        if self._handle:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._handle)
            self._handle = None

    def decode(self, rows: Sequence[PassRow]) -> list[Logits]:
        """One forward pass, with one adapter.

        Returns:
            The logits, shape (vocabulary,), of each row with `output`, in order. They are views
            that the next call overwrites.

        Raises:
            BackendError: the pass failed; the sequences it touched are no longer to be trusted.
        """
        self._select(rows[0].adapter)
        batch = self._batch
        batch.n_tokens = len(rows)
        for i, row in enumerate(rows):
            batch.token[i] = row.token
            batch.pos[i] = row.position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = row.sequence
            batch.logits[i] = row.output
        code = self._lib.llama_decode(self._handle, batch)
        if code != 0:
            raise BackendError(f"llama_decode answered {code}: {library.recent_errors()}")
        return [self._logits(i) for i, row in enumerate(rows) if row.output]

    def _logits(self, index: int) -> Logits:
        pointer = self._lib.llama_get_logits_ith(self._handle, index)
        return np.ctypeslib.as_array(pointer, shape=(self._vocab_size,))

    def _select(self, adapter: Hashable | None) -> None:
        """Compute from now on with this adapter, or with the base model alone."""
        if adapter != self._adapter:
            assert adapter is None or isinstance(adapter, Adapter)
            adapters.select(self._handle, adapter)
            self._adapter = adapter

    def truncate(self, sequence: int, length: int) -> bool:
        """Keep the first `length` tokens of a sequence; False where the memory cannot do it."""
        return bool(self._lib.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def copy(self, source: int, target: int) -> None:
        """Make `target` hold what `source` holds."""
        self._lib.llama_memory_seq_rm(self._memory, target, -1, -1)
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)


def _set_attention(lib: "ctypes.CDLL", params: "ctypes.Structure", attention: Attending) -> None:
    params.flash_attn_type = getattr(lib, f"LLAMA_FLASH_ATTN_TYPE_{_FLASH[attention]}")
    if attention == "flash":
        params.type_k = lib.GGML_TYPE_Q8_0


def _keep_off_the_card(params: "ctypes.Structure", model: GgufModel) -> None:
    """Compute where the weights lie, never elsewhere for some numbers of rows."""
    params.op_offload = False
    if not model.offload.layers:
        params.offload_kqv = False


_PROBE_TOKENS = 256


def cache_bytes_per_token(model: GgufModel, attention: Attending) -> float:
    """What one token of one sequence takes in the cache, by the library's own account of a
    small context."""
    lib = library.load()
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = _PROBE_TOKENS
    _set_attention(lib, params, attention)
    _keep_off_the_card(params, model)
    library.forget_errors()
    handle = lib.llama_init_from_model(model.handle, params)
    if not handle:
        raise ModelLoadError(f"{model.path}: no context at all: {library.recent_errors()}")
    taken = library.memory_taken()
    lib.llama_free(handle)
    return taken.cache / _PROBE_TOKENS


def _check_memory(model: GgufModel, sequences: int, length: int, attention: Attending) -> None:
    needed = cache_bytes_per_token(model, attention) * sequences * length
    # A cache on a card is the library's to refuse; the system would end the process instead.
    free = available_bytes()
    if not model.offload.layers and needed > free:
        raise ModelLoadError(
            f"{model.path}: {sequences} sequences of {length} tokens need {readable(needed)} of "
            f"memory and {readable(free)} are free",
            hint="lower context_length or parallel in models.toml",
        )


def embed(
    model: GgufModel, texts: Sequence[Sequence[int]], *, threads: int
) -> list[NDArray[np.float32]]:
    """The mean of the last layer's states over each text's tokens, scaled to unit length.

    A context of its own serves the call, so that the engine's sequences are not touched, and each
    text runs alone, so that its bytes do not depend on the others.

    Returns:
        One vector of shape (dimensions,) a text.

    Raises:
        ModelLoadError: the memory cannot be had.
        BackendError: a pass failed.
    """
    lib = library.load()
    longest = max(len(tokens) for tokens in texts)
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = max(longest, 32)
    params.n_threads = params.n_threads_batch = threads
    _set_attention(lib, params, "plain")
    params.pooling_type = lib.LLAMA_POOLING_TYPE_MEAN
    params.embeddings = True
    _keep_off_the_card(params, model)
    handle = lib.llama_init_from_model(model.handle, params)
    if not handle:
        raise ModelLoadError(f"{model.path}: no context for embeddings: {library.recent_errors()}")
    try:
        return [_embed_one(lib, handle, tokens, model.dimensions) for tokens in texts]
    finally:
        lib.llama_free(handle)


def _embed_one(
    lib: "ctypes.CDLL", handle: int, tokens: Sequence[int], dimensions: int
) -> NDArray[np.float32]:
    lib.llama_memory_clear(lib.llama_get_memory(handle), True)
    ids = (ctypes.c_int32 * len(tokens))(*tokens)
    code = lib.llama_decode(handle, lib.llama_batch_get_one(ids, len(tokens)))
    if code != 0:
        raise BackendError(f"llama_decode answered {code}: {library.recent_errors()}")
    pointer = lib.llama_get_embeddings_seq(handle, 0)
    vector = np.ctypeslib.as_array(pointer, shape=(dimensions,)).copy()
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    return np.asarray(vector / norm, dtype=np.float32) if norm > 0 else vector
