"""The job that computes the log-probabilities of a text's own tokens."""

import time
from collections.abc import Sequence

from gateway.engine.context import OUTPUTS_PER_PASS
from gateway.engine.jobs import Job, Read, Step
from gateway.engine.sampling import log_normalizer


def read(tokens: Sequence[int], first: int) -> Job:
    """The log-probability of each token from number `first` on, given all before it.

    Args:
        first: from 1 to the number of tokens less one.
    """
    (row,) = yield Step(0, tokens[:first])
    prompt_done = time.perf_counter()
    found = [float(row[tokens[first]]) - log_normalizer(row)]
    # Behind the last token nothing is asked.
    for start in range(first, len(tokens) - 1, OUTPUTS_PER_PASS):
        piece = tokens[start : min(start + OUTPUTS_PER_PASS, len(tokens) - 1)]
        rows = yield Step(start, piece, outputs=len(piece))
        for number, row in enumerate(rows, start + 1):
            found.append(float(row[tokens[number]]) - log_normalizer(row))
    return Read(tuple(found), prompt_done)
