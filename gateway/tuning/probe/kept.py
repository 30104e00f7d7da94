"""What members said in cross-validation, kept on disk beside the states that they read."""

import json
import math
from dataclasses import astuple
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from gateway.core.digests import digest_bytes, digest_json
from gateway.models.adapters.probe import Floats
from gateway.tuning.probe.fit import Choice, Data
from gateway.tuning.probe.states import StateStore

_ROUND = 1
"""Counts how often the way of fitting has changed."""


class KeptScores:
    """Log-probabilities by member, for one set of items and folds; shape (items, labels)."""

    def __init__(self, store: StateStore, data: Data, folds: NDArray[np.int64]) -> None:
        self._store = store
        self._shape = (len(data.texts), data.labels)
        self._inputs = {
            layer: digest_bytes(np.ascontiguousarray(states).tobytes())
            for layer, states in data.states.items()
        }
        self._inputs[0] = digest_json(list(data.texts))
        split = [data.golds.tolist(), folds.tolist(), data.labels]
        self._about = [_ROUND, version("scikit-learn"), version("scipy"), digest_json(split)]

    def get(self, choice: Choice) -> Floats | None:
        """None: this member was not fitted on these items yet, or what is kept is damaged."""
        blob = self._store.scores(self._key(choice))
        if blob is None or len(blob) != np.dtype("<f8").itemsize * math.prod(self._shape):
            return None
        return np.frombuffer(blob, dtype="<f8").reshape(self._shape)

    def put(self, choice: Choice, logprobs: Floats) -> None:
        """Keep what a member says."""
        self._store.keep(self._key(choice), logprobs.astype("<f8").tobytes())

    def _key(self, choice: Choice) -> str:
        return digest_json([*self._about, self._inputs[choice.layer], json.dumps(astuple(choice))])
