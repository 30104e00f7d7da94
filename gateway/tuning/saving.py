"""An adapter's folder, written so that a reader never meets half of one."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.core.digests import digest_json
from gateway.core.errors import StoreError
from gateway.tasks.task import Item


@contextmanager
def new_adapter(target: Path, hint: str = "") -> Iterator[Path]:
    """A folder to write into; it has its name when the block has ended without an error.

    Args:
        hint: what to do where it cannot be written.

    Raises:
        StoreError: it cannot be written.
    """
    half = target.with_name(f".half-{target.name}")
    try:
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        yield half
        os.replace(half, target)
    except OSError as exc:
        raise StoreError(f"{target}: cannot be written: {exc.strerror or exc}", hint=hint) from exc
    finally:
        with suppress(OSError):
            shutil.rmtree(half)


def data_digest(items: Sequence[Item]) -> str:
    """Of what is learned."""
    return digest_json([[item.id, item.digest, item.gold] for item in items])
