"""The shared library: loading it with the settings that keep bytes equal, and what build it is.

K-quants have two kernels in the library (`ggml-cpu/tiled/tiled.cpp`): one row by one, and a tiled
one that sums in another order. Left alone, the library takes the tiled one from 8 rows on, so that
results depend on what is batched. Either one, taken always, is invariant: measured by
`scripts/bench settings`. The library reads which from the environment, once in a process.
"""

import atexit
import ctypes
import os
import re
import shlex
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from gateway.core.errors import BackendError, ModelLoadError
from gateway.core.extras import how_to_install, require
from gateway.engine.context import Memory
from gateway.models.spec import Kernels

_TILED = "GGML_CPU_TILED_MM"
_TILED_ALWAYS = "GGML_CPU_TILED_MM_FORCE"

_TILED_TYPES = frozenset(
    (
        *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
        *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"),
    )
)
"""Types that have a tiled kernel (`ggml_tiled_supported`)."""

_OF_CARDS = {"GGML_CUDA_DISABLE_GRAPHS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""What a build for CUDA reads when a card is first used: passes as they are, not as recorded; and
what cuBLAS needs to repeat (https://docs.nvidia.com/cuda/cublas, "Results reproducibility")."""

_NO_BACKTRACE = "GGML_NO_BACKTRACE"
"""Where an assertion fails, the library would have a debugger print its functions, for seconds."""

_LOG_INFO = 2
_LOG_WARN = 3
_LOG_ERROR = 4
_LOG_CONTINUED = 5
_MIB = 1 << 20

_BUFFER_SIZE = re.compile(r"(KV|RS|compute|output) buffer size = +([0-9.]+) MiB")
"""What the library says of the memory that it takes: KV and RS (recurrent state) are the cache."""

_log_lines: deque[str] = deque(maxlen=50)
_buffers: list[tuple[str, float]] = []
_listeners: list[Callable[[str], None]] = []
_kept_alive: list[Any] = []
_settled: list[Kernels] = []
_settling = threading.Lock()


@dataclass(frozen=True, slots=True)
class Build:
    """Which llama.cpp this is: what may change a byte of a result is named here."""

    version: str
    """Of llama-cpp-python, which fixes the llama.cpp revision."""
    system_info: str
    """`llama_print_system_info`: instruction sets and compile options."""

    def __str__(self) -> str:
        return f"llama-cpp-python {self.version}: {self.system_info.strip()}"

    @property
    def llamafile(self) -> bool:
        """True for the stock build, which multiplies one row by another kernel than many."""
        return "LLAMAFILE = 1" in self.system_info

    def weaknesses(self) -> tuple[str, ...]:
        """What in this build lets results depend on batching and caches; empty is as it should."""
        if not self.llamafile:
            return ()
        return (
            "llama-cpp-python is a stock build (GGML_LLAMAFILE=ON): requests run one at a time, so "
            "that results do not depend on what is batched; for speed rebuild it: "
            f"{_how_to_rebuild(self.version)}",
        )


def _how_to_rebuild(version: str) -> str:
    """Without what pip has, in its cache or on an index, that was compiled with other flags."""
    package = "llama-cpp-python"
    fresh = ["--force-reinstall", "--no-deps", "--no-cache-dir", "--no-binary", package]
    command = [sys.executable, "-m", "pip", "install", *fresh, f"{package}=={version}"]
    return f"CMAKE_ARGS=-DGGML_LLAMAFILE=OFF {shlex.join(command)}"


@cache
def load() -> Any:
    """The `llama_cpp.llama_cpp` module, its backend initialised and its log captured.

    Raises:
        MissingExtra: llama-cpp-python is not installed.
        BackendError: it does not load.
    """
    require("llama_cpp")
    for name, value in {**_OF_CARDS, _NO_BACKTRACE: "1"}.items():
        os.environ.setdefault(name, value)
    try:
        import llama_cpp.llama_cpp as lib
        from llama_cpp import _utils
    except (ImportError, OSError, RuntimeError) as exc:
        raise BackendError(
            f"llama-cpp-python cannot be loaded: {exc}",
            hint=f"pip uninstall llama-cpp-python; then: {how_to_install('llama-cpp')}",
        ) from exc
    _close_at_exit(_utils)
    callback = lib.llama_log_callback(_remember_log_line)
    _kept_alive.append(callback)
    lib.llama_log_set(callback, ctypes.c_void_p(0))
    lib.llama_backend_init()
    return lib


def supports_cards() -> bool:
    """Whether this build can compute on a card, if one is here."""
    return bool(load().llama_supports_gpu_offload())


def _close_at_exit(utils: Any) -> None:
    """What llama-cpp-python opens when it is imported and leaves open, which Python warns of."""
    for name in ("outnull_file", "errnull_file"):
        if (file := getattr(utils, name, None)) is not None:
            atexit.register(file.close)


@cache
def build() -> Build:
    """Version and build options of the loaded library."""
    lib = load()
    import llama_cpp

    return Build(
        version=llama_cpp.__version__,
        system_info=lib.llama_print_system_info().decode(),
    )


def has_k_quants(types: Collection[str]) -> bool:
    """Whether tensors of these types are multiplied by one of two kernels."""
    return not _TILED_TYPES.isdisjoint(types)


def settle_kernels(wanted: Kernels, types: Collection[str]) -> str:
    """Take one of the two kernels for K-quants, for as long as the process lives.

    Args:
        types: those of the model's tensors.

    Returns:
        What the bytes of a model with these types depend on; empty where it has no K-quants.

    Raises:
        ModelLoadError: it needs the other kernel than the one that was taken before.
    """
    with _settling:
        if not _settled:
            _settled.append(wanted)
            os.environ[_TILED] = os.environ[_TILED_ALWAYS] = str(int(wanted == "prefill"))
        if not has_k_quants(types):
            return ""
        if wanted != _settled[0]:
            raise ModelLoadError(
                f'kernels = "{wanted}": this process has loaded a model with "{_settled[0]}", and '
                "the library cannot change",
                hint="give all models of one process the same kernels",
            )
        return f"tiled_mm={int(wanted == 'prefill')}"


def recent_errors() -> str:
    """What the library last complained of, for an error message."""
    return " ".join(_log_lines)[-500:].strip()


def forget_errors() -> None:
    """Forget earlier complaints and sizes, so that the next ones are of what is made next."""
    _log_lines.clear()
    _buffers.clear()


def memory_taken() -> Memory:
    """What was taken since `forget_errors`."""
    cache = sum(size for kind, size in _buffers if kind in ("KV", "RS"))
    rest = sum(size for kind, size in _buffers if kind not in ("KV", "RS"))
    state = sum(size for kind, size in _buffers if kind == "RS")
    return Memory(int(cache * _MIB), int(rest * _MIB), int(state * _MIB))


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Give `listener` all that the library logs while the block runs, in the pieces in which it is
    logged: a line may come in several. It must not raise."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def _remember_log_line(level: int, text: bytes, _data: Any) -> None:
    for listener in _listeners:
        listener(text.decode("utf-8", errors="replace"))
    if level == _LOG_INFO:
        found = _BUFFER_SIZE.search(text.decode("utf-8", errors="replace"))
        if found:
            _buffers.append((found.group(1), float(found.group(2))))
    if level in (_LOG_WARN, _LOG_ERROR) or (level == _LOG_CONTINUED and _log_lines):
        _log_lines.append(text.decode("utf-8", errors="replace").strip())
