"""torch and transformers, loaded with the setting that keeps bytes equal.

On a processor torch multiplies by Intel's MKL, whose kernels for 5, 6, 7 and 9 to 11 rows sum in
another order on two threads than on one, and with it attention of one query row over more than 128
keys. In MKL's strict mode of conditional numerical reproducibility none does (1 to 139 rows, six
shapes of weights; measured with torch 2.13 on two cores), and passes are not slower. MKL reads the
mode from the environment when it is first used. AVX2 is taken of all processors, so that those
which have more give the same bytes.
"""

import os
from functools import cache
from typing import Any

from gateway.errors import BackendError

_MODE = "MKL_CBWR"
_STRICT = "AVX2,STRICT"
_ROWS = range(1, 13)
_WIDTH = 576


@cache
def load() -> tuple[Any, Any]:
    """The modules torch and transformers.

    Raises:
        BackendError: one of them is not installed.
    """
    os.environ.setdefault(_MODE, _STRICT)
    try:
        import torch
        import transformers
    except ImportError as exc:
        raise BackendError(
            f"{exc.name} is not installed", hint="pip install 'local-model-gateway[transformers]'"
        ) from exc
    return torch, transformers


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
