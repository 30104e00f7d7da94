"""`llama_cpp.Llama`, which keeps the last prompt as its cache, in a loop over labels.

Two ways to get a label's log-probability out of it. `completion` is its own interface:
`create_completion` with the whole text, `echo` and `logprobs`. `loop` is the least that can be done
with it by hand: keep what the cached tokens share with the next text, `eval` the rest, and read
the logits off.
"""

from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np

from gateway.engine.sampling import log_normalizer


class PerLabel:
    """A `Llama` on a file, with the threads of the gateway's entry."""

    def __init__(self, path: Path, *, length: int, threads: int) -> None:
        self._model = llama_cpp.Llama(
            str(path),
            n_ctx=length,
            n_threads=threads,
            n_threads_batch=threads,
            logits_all=True,
            verbose=False,
        )

    def loop(self, prompt: Sequence[int], label: Sequence[int]) -> float:
        """Log-probability of the label's tokens, by hand."""
        model = self._model
        whole = [*prompt, *label]
        held = model.input_ids[: model.n_tokens].tolist()
        pairs = enumerate(zip(held, whole, strict=False))
        shared = next((i for i, (a, b) in pairs if a != b), min(len(held), len(whole)))
        model.n_tokens = min(shared, len(prompt) - 1)  # eval forgets what lies beyond
        model.eval(whole[model.n_tokens :])
        rows = model.scores[len(prompt) - 1 : len(whole) - 1]
        return sum(
            float(row[token]) - log_normalizer(np.asarray(row))
            for row, token in zip(rows, label, strict=True)
        )

    def completion(self, prompt: str, label: str) -> float:
        """Log-probability of the label's tokens, from the completion's answer."""
        done = self._model.create_completion(
            prompt + label, max_tokens=1, echo=True, logprobs=1, temperature=0.0
        )
        found = done["choices"][0]["logprobs"]["token_logprobs"]
        before = len(self._model.tokenize(prompt.encode(), special=True))
        label_tokens = self._model.tokenize((prompt + label).encode(), special=True)[before:]
        return float(sum(found[before : before + len(label_tokens)]))
