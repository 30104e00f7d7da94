"""Which shape of passes was found for a model on this processor.

Trying takes seconds, and finds the same again where weights, adapter, threads and libraries are the
same.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from gateway.backends.transformers.attention import BLOCK
from gateway.backends.transformers.invariant_shape import ROWS, find_shape
from gateway.backends.transformers.model import TorchModel
from gateway.backends.transformers.passes import Shape
from gateway.core.digests import digest_json
from gateway.core.files import write_atomically
from gateway.models.environment import data_root, kept_files

_NONE = 0
"""Stands for that none was found."""


def shape_of(
    model: TorchModel, adapter: str | None, threads: int, computing: Mapping[str, str]
) -> Shape | None:
    """As `find_shape`, remembered for a processor.

    Args:
        computing: all that a pass depends on, the adapter on the layers and the threads apart.
    """
    if model.device.type != "cpu" or kept_files() is None:
        return find_shape(model, adapter, threads)
    memory = data_root() / "shapes.json"
    key = digest_json(
        {**computing, "on layers": adapter, "threads": threads, "tried": [ROWS, BLOCK]}
    )
    rows = _read(memory).get(key)
    if rows in (*ROWS, _NONE):
        return Shape("blocks", rows) if rows else None
    found = find_shape(model, adapter, threads)
    # Where it cannot be kept it is tried again.
    with contextlib.suppress(OSError):
        known = {**_read(memory), key: found.least_rows if found else _NONE}
        write_atomically(memory, json.dumps(known, indent=1, sort_keys=True))
    return found


def _read(memory: Path) -> dict[str, int]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
