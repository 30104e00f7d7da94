"""Python's garbage collector, held back where many objects are made and none is garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage meanwhile; also a decorator.

    The collector looks at all objects again and again as they grow in number. With some hundreds of
    thousands of predictions that takes longer than to read them.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
