"""`llama_cpp.Llama`, which keeps the last prompt as its cache, asked for the scores of labels.

Three ways to get a label's log-probability out of it. `completion` is its own interface:
`create_completion` with the whole text, `echo` and `logprobs`. `loop` is the least that can be done
with it by hand: keep what the cached tokens share with the next text, `eval` the rest, and read
the logits off. `ByTree` is the best: logits of the rows that are wanted alone, the beginnings that
labels share read once, the end of a label not read at all.
"""

from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np

from gateway.core.sequences import common_length
from gateway.engine.sampling import Floats, log_normalizer
from gateway.engine.trie import TrieNode, build_trie


class PerLabel:
    """A `Llama` on a file, with the threads of the gateway's entry."""

    def __init__(self, path: Path, *, length: int, threads: int) -> None:
        self._model = _opened(path, length, threads, logits_all=True)

    def loop(self, prompt: Sequence[int], label: Sequence[int]) -> float:
        """Log-probability of the label's tokens, by hand."""
        model = self._model
        whole = [*prompt, *label]
        shared = common_length(model.input_ids[: model.n_tokens].tolist(), whole)
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


class ByTree:
    """A `Llama` that gives the logits of the last token it has read.

    Args:
        flash: its flash attention.
    """

    def __init__(self, path: Path, *, length: int, threads: int, flash: bool) -> None:
        self._model = _opened(path, length, threads, flash_attn=flash)

    def scores(
        self, prompt: Sequence[int], labels: Sequence[Sequence[int]], end: int
    ) -> list[float]:
        """Log-probability of each label's tokens and of the end behind them."""
        found = [0.0] * len(labels)
        held = self._model.input_ids[: self._model.n_tokens].tolist()
        row = self._read(min(common_length(held, list(prompt)), len(prompt) - 1), prompt)

        def visit(node: TrieNode, row: Floats, at: int, so_far: float) -> None:
            so_far -= log_normalizer(row)
            for label in node.ends:
                found[label] = so_far + float(row[end])
            for token, child in node.children.items():
                nexts = self._read(at, [token], at)
                visit(child, nexts, at + 1, so_far + float(row[token]))

        visit(build_trie(labels), row, len(prompt), 0.0)
        return found

    def _read(self, keep: int, tokens: Sequence[int], first: int = 0) -> Floats:
        """The logits behind tokens of which the first stands at a place, what is before `keep`
        being read already."""
        model = self._model
        model.n_tokens = keep  # eval forgets what lies beyond
        model.eval(tokens[keep - first :])
        row = llama_cpp.llama_get_logits_ith(model.ctx, -1)
        return np.ctypeslib.as_array(row, shape=(model.n_vocab(),)).copy()


def _opened(path: Path, length: int, threads: int, **options: bool) -> llama_cpp.Llama:
    return llama_cpp.Llama(
        str(path),
        n_ctx=length,
        n_threads=threads,
        n_threads_batch=threads,
        verbose=False,
        **options,
    )
