"""What is kept of a model's states, and of what members said of them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gateway.tuning.probe.fit import Choice, Data
from gateway.tuning.probe.kept import KeptScores
from gateway.tuning.probe.states import StateStore

PROMPT, SPAN, LAYERS = (1, 2, 3), (1, 3), (4, 8)
STATES = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
CHOICE = Choice(0)
DATA = Data({}, ["elm oak", "fern"], np.array([0, 1]), 2)
SAID = np.log(np.full((2, 2), 0.5))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the states of a prompt and a member's word on two items."""
    made = tmp_path / "states.sqlite"
    with StateStore(made, "a model") as store:
        store.put(PROMPT, SPAN, LAYERS, STATES)
        KeptScores(store, DATA, DATA.golds).put(CHOICE, SAID)
    return made


def test_what_is_kept_is_found(path: Path) -> None:
    with StateStore(path, "a model") as store:
        found = store.get(PROMPT, SPAN, LAYERS[1:])
        assert found is not None
        assert found.tolist() == STATES[1:].tolist()
        assert store.get(PROMPT, SPAN, (4, 5)) is None
        said = KeptScores(store, DATA, DATA.golds).get(CHOICE)
        assert said is not None
        assert said.tolist() == SAID.tolist()


@pytest.mark.parametrize("left", [b"", b"\0", b"\0" * 24])
def test_what_is_damaged_counts_as_unknown(path: Path, left: bytes) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE states SET pooled = ?", [left])
    with StateStore(path, "a model") as store:
        assert store.get(PROMPT, SPAN, LAYERS) is None
        assert KeptScores(store, DATA, DATA.golds).get(CHOICE) is None
