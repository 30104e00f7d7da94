"""torch and transformers, loaded with the setting that keeps bytes equal.

On a processor torch multiplies by Intel's MKL, whose kernels for 5, 6, 7 and 9 to 11 rows sum in
another order on two threads than on one, and with it attention of one query row over more than 128
keys. In MKL's strict mode of conditional numerical reproducibility none does (1 to 139 rows, six
shapes of weights; measured with torch 2.13 on two cores), and passes are not slower. MKL reads the
mode from the environment when it is first used. AVX2 is taken of all processors, so that those
which have more give the same bytes.
"""

import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateway.core import bars
from gateway.core.errors import BackendError
from gateway.core.extras import require

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_DRIVER = Path("/proc/driver/nvidia/version")
_MODE = "MKL_CBWR"
_STRICT = "AVX2,STRICT"
_ROWS = range(1, 13)
_WIDTH = 576


def prepare() -> None:
    """Say what torch's libraries read when they are first used; torch itself is not loaded."""
    os.environ.setdefault(_MODE, _STRICT)
    # What CUDA's products of matrices need to repeat.
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    bars.silence()


@cache
def load() -> tuple[Any, Any]:
    """The modules torch and transformers.

    Raises:
        MissingExtra: one of them is not installed.
    """
    prepare()
    require("torch", "transformers")
    import torch
    import transformers

    bars.silence()
    return torch, transformers


def check_device(device: str) -> None:
    """Refuse a device that is not here, before weights are read.

    Raises:
        BackendError: this torch, or this machine, has none of the kind.
    """
    torch, _ = load()
    kind = device.partition(":")[0]
    backend = {"cuda": torch.cuda, "mps": torch.backends.mps}.get(kind)
    if backend is None or backend.is_available():
        return
    built = torch.version.cuda if kind == "cuda" else torch.backends.mps.is_built()
    what = "no such card is usable here" if built else "this torch is built without it"
    raise BackendError(f'device = "{device}": {what}', hint='device = "cpu" in models.toml')


def card(device: Any) -> str:
    """What decides the bytes of a card's results besides torch: the card, its driver, the libraries
    that multiply and compile."""
    torch, _ = load()
    found = torch.cuda.get_device_properties(device)
    with_triton = importlib.util.find_spec("triton") is not None
    return (
        f"{found.name}, compute capability {found.major}.{found.minor}, driver {_driver()}, "
        f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, "
        f"triton {version('triton') if with_triton else 'none'}, "
        f"CUBLAS_WORKSPACE_CONFIG={os.environ.get(_WORKSPACE, '')}"
    )


def _driver() -> str:
    try:
        return str(re.findall(r"\d+\.\d+(?:\.\d+)?", _DRIVER.read_text(encoding="utf-8"))[0])
    except (OSError, IndexError):
        return "unknown"


def mode() -> str:
    """The mode that MKL is in, unless it was used before it could be told."""
    return os.environ.get(_MODE, "")


@cache
def depends_on_threads() -> bool:
    """Whether a product of matrices changes with the number of threads: tried, not believed."""
    torch, _ = load()
    drawn = torch.Generator().manual_seed(0)
    weights = torch.randn(_WIDTH, _WIDTH, generator=drawn)
    before = torch.get_num_threads()
    try:
        for rows in _ROWS:
            some = torch.randn(rows, _WIDTH, generator=drawn)
            found = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                found.append(torch.nn.functional.linear(some, weights))
            if not torch.equal(*found):
                return True
    finally:
        torch.set_num_threads(before)
    return False


@contextmanager
def repeatable() -> Iterator[None]:
    """The block in which torch refuses what does not repeat; afterwards it is as it was.

    https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    torch, _ = load()
    filling = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), filling.fill_uninitialized_memory
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    # Memory is written before it is read here; to fill it first would only cost time.
    filling.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=warns)
        filling.fill_uninitialized_memory = before[1]
