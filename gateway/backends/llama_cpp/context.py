"""A llama context: the key-value memory of some sequences, and the forward pass.

Everything here is called from one thread only, the engine's.
"""

import ctypes
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from gateway.backends.llama_cpp import adapter as adapters
from gateway.backends.llama_cpp.adapter import Adapter
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.offload import too_large
from gateway.core.errors import BackendError, ModelLoadError
from gateway.core.kept import Bytes
from gateway.core.sizes import available_bytes, readable
from gateway.engine.context import OUTPUTS_PER_PASS, Logits, Memory, PassRow
from gateway.engine.llama import library

Attending = Literal["plain", "flash", "tiled", "any"]
"""How a context attends.

"plain": as separate products of matrices.
"flash": in one operation. It has three kernels (`ggml_compute_forward_flash_attn_ext_f16` in
`ggml-cpu/ops.cpp`): for 64 or more query tokens, for a single one behind many, and for all else.
The first two want keys of F16 or F32. So keys are Q8_0, and the third is always taken.
"tiled": the first for prompts and the third behind them, with keys of F16; see `tiled`.
"any": what the library finds faster; its bytes depend on what is batched."""

_FLASH: Mapping[Attending, str] = {
    "plain": "DISABLED",
    "flash": "ENABLED",
    "tiled": "ENABLED",
    "any": "AUTO",
}


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
        self._most_outputs = max(OUTPUTS_PER_PASS, sequences)
        params = lib.llama_context_default_params()
        params.n_ctx = sequences * length
        params.n_seq_max = sequences
        params.n_batch = params.n_ubatch = batch_tokens
        params.n_outputs_max = self._most_outputs
        params.n_outputs_max_per_seq = 0
        params.n_threads = params.n_threads_batch = threads
        set_attention(lib, params, attention)
        params.kv_unified = False
        params.swa_full = True
        keep_off_the_card(params, model)
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
        if model.minimums is not None:
            adapters.select(self._handle, model.minimums)
        self.memory = library.memory_taken()
        self._lib = lib
        self._files = model.files
        self._vocab_size = model.vocab_size
        self._memory = lib.llama_get_memory(self._handle)
        if self._memory is None:
            lib.llama_free(self._handle)
            raise ModelLoadError(
                f"{model.path}: an architecture that keeps nothing of the tokens before "
                f"({model.abilities.architecture}), and not known here as an encoder"
            )
        # The library takes no more than the context asked for, also where it rounds that up.
        batch_tokens = min(batch_tokens, int(lib.llama_n_batch(self._handle)))
        self._batch = lib.llama_batch_init(batch_tokens, 0, 1)
        # The library takes whole steps of tokens, more than a model with a short context has.
        self.length: int = min(lib.llama_n_ctx_seq(self._handle), model.context_trained)
        self.sequences = sequences
        self.batch_tokens = batch_tokens
        self.goes_back = model.abilities.memory == "attention"
        self._has_windows = bool(lib.llama_model_n_swa(model.handle))
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
            BackendError: the pass failed; the sequences it touched are no longer to be trusted. Or
                the file was written into: a read of weights behind its end would end the process.
        """
        self._files.check()
        self._check_size(rows)
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

    def _check_size(self, rows: Sequence[PassRow]) -> None:
        """Refuse a pass that would end the process."""
        outputs = sum(row.output for row in rows)
        if not rows or len(rows) > self.batch_tokens or outputs > self._most_outputs:
            raise BackendError(
                f"a pass of {len(rows)} tokens and {outputs} outputs: it takes 1 to "
                f"{self.batch_tokens}, and {self._most_outputs} outputs"
            )

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

    def save(self, sequence: int) -> bytes:
        """The state of a sequence that cannot be cut, as it is now; keys and values, which can be
        cut, are not in it."""
        return bytes(self._state(sequence, self._lib.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY))

    def restore(self, sequence: int, length: int, saved: bytes) -> bool:
        """Cut a sequence to the length at which its state was saved; False where the memory cannot
        do it, and then the sequence holds nothing that may be relied on."""
        read = self._put(sequence, saved, self._lib.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY)
        # The state is now that of `length` tokens, so that only keys and values are cut.
        return bool(read) and self.truncate(sequence, length)

    def copy(self, source: int, target: int) -> None:
        """Make `target` hold what `source` holds: the library copies when the next pass begins
        (`llama_kv_cache::update`)."""
        self._lib.llama_memory_seq_rm(self._memory, target, -1, -1)
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def state_of(self, sequence: int, length: int) -> Bytes:
        """See `gateway.engine.context.Context`.

        The library leaves out what lies before a sliding window (`llama_kv_cache::state_write`). So
        keys would come back at other places, and sums of them in other steps.
        """
        del length  # As many as it has been cut to.
        return b"" if self._has_windows else self._state(sequence, 0)

    def put_state(self, sequence: int, length: int, state: Bytes, adapter: Hashable | None) -> bool:
        """See `gateway.engine.context.Context`."""
        del adapter  # What is held is the same whatever computes next.
        self.truncate(sequence, 0)
        fits = self._put(sequence, state, 0) > 0
        last = self._lib.llama_memory_seq_pos_max(self._memory, sequence)
        if fits and last == length - 1:
            return True
        self.truncate(sequence, 0)
        return False

    def _state(self, sequence: int, flags: int) -> bytearray:
        size = self._lib.llama_state_seq_get_size_ext(self._handle, sequence, flags)
        state = bytearray(size)
        into = (ctypes.c_uint8 * size).from_buffer(state)
        get = self._lib.llama_state_seq_get_data_ext
        written = get(self._handle, into, size, sequence, flags)
        del into  # A bytearray that something points into cannot be cut.
        del state[written:]
        return state

    def _put(self, sequence: int, state: Bytes, flags: int) -> int:
        """How many bytes of a state were read; 0: it is none."""
        data = np.frombuffer(state, dtype=np.uint8)
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        put = self._lib.llama_state_seq_set_data_ext
        return int(put(self._handle, pointer, len(data), sequence, flags))


class NoContext:
    """Stands for the memory of a model that has none: an encoder reads each text in a context of
    its own, see `gateway.backends.llama_cpp.embedding`."""

    mixes_adapters = goes_back = False
    memory = Memory(0, 0)

    def __init__(self, *, sequences: int, length: int, batch_tokens: int) -> None:
        self.sequences, self.length, self.batch_tokens = sequences, length, batch_tokens

    def decode(self, _: Sequence[PassRow]) -> list[Logits]:
        """Never asked: requests for it are refused before."""
        raise BackendError("the model predicts no tokens")

    def truncate(self, sequence: int, length: int) -> bool:
        del sequence, length
        return True

    def save(self, sequence: int) -> bytes:
        del sequence
        return b""

    def restore(self, sequence: int, length: int, saved: bytes) -> bool:
        del sequence, length, saved
        return False

    def copy(self, source: int, target: int) -> None:
        del source, target

    def state_of(self, sequence: int, length: int) -> bytes:
        del sequence, length
        return b""

    def put_state(self, sequence: int, length: int, state: Bytes, adapter: Hashable | None) -> bool:
        del sequence, length, state, adapter
        return False

    def close(self) -> None:
        """Nothing to free."""


def set_attention(lib: "ctypes.CDLL", params: "ctypes.Structure", attention: Attending) -> None:
    """Ask for a way to attend."""
    params.flash_attn_type = getattr(lib, f"LLAMA_FLASH_ATTN_TYPE_{_FLASH[attention]}")
    if attention == "flash":
        params.type_k = lib.GGML_TYPE_Q8_0


def keep_off_the_card(params: "ctypes.Structure", model: GgufModel) -> None:
    """Compute where the weights lie, never elsewhere for some numbers of rows."""
    params.op_offload = False
    if not model.offload.layers:
        params.offload_kqv = False


_PROBE_TOKENS = 256


def cache_bytes(model: GgufModel, attention: Attending) -> tuple[float, int]:
    """What one token of one sequence takes in the cache, and what a sequence takes however long it
    is, by the library's own account of a small context."""
    lib = library.load()
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = _PROBE_TOKENS
    set_attention(lib, params, attention)
    keep_off_the_card(params, model)
    library.forget_errors()
    handle = lib.llama_init_from_model(model.handle, params)
    if not handle:
        raise ModelLoadError(f"{model.path}: no context at all: {library.recent_errors()}")
    taken = library.memory_taken()
    lib.llama_free(handle)
    return (taken.cache - taken.state) / _PROBE_TOKENS, taken.state


def _check_memory(model: GgufModel, sequences: int, length: int, attention: Attending) -> None:
    of_a_token, of_a_sequence = cache_bytes(model, attention)
    needed = (of_a_token * length + of_a_sequence) * sequences
    # A cache on a card is the library's to refuse; the system would end the process instead.
    free = available_bytes()
    if not model.offload.layers and needed > free:
        raise ModelLoadError(
            f"{model.path}: {sequences} sequences of {length} tokens need {readable(needed)} of "
            f"memory and {readable(free)} are free",
            hint="lower context_length or parallel in models.toml",
        )
