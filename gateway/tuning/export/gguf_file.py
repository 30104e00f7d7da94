"""A GGUF that is written whole or not at all."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway.core.errors import ConfigError
from gateway.models.gguf import GGUF

Prove = Callable[[Path], None]
"""Raises where a file is not what it should be."""


def unproved(_: Path) -> None:
    """For a file that somebody else looks at."""


@contextlib.contextmanager
def new_gguf(
    target: Path, architecture: str, *, spooled: bool = False, prove: Prove = unproved
) -> Iterator[Any]:
    """A `gguf.GGUFWriter` to be given fields and tensors; the file appears when the block ends.

    Args:
        spooled: tensors wait in a temporary file, where they are more than memory should hold.
        prove: is given the file under another name; where it raises, the file never appears.

    Raises:
        ConfigError: the file cannot be written.
    """
    from gguf import GGUFWriter

    half = target.with_name(f".half-{target.name.removesuffix(GGUF)}{GGUF}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        writer = GGUFWriter(half, architecture, use_temp_file=spooled)
        yield writer
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        prove(half)
        os.replace(half, target)
    except OSError as exc:
        raise ConfigError(f"{target}: cannot be written: {exc.strerror or exc}") from exc
    finally:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
