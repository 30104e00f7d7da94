"""What was collected is not looked at again by Python's collector of garbage: a process of tests
holds millions of objects, of libraries and of nine thousand tests, before it runs the first."""

import gc

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """What is imported stays."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
