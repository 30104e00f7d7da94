"""The job that computes the log-probabilities of labels after a prompt."""

import time
from collections.abc import Sequence

from gateway.engine.context import Logits
from gateway.engine.jobs import Job, Scored, Step, Vocabulary
from gateway.engine.sampling import log_normalizer, log_sum
from gateway.engine.trie import TrieNode, build_trie

_CHAIN_TOKENS = 32
"""Most tokens of an unbranched stretch of the label trie that one step forwards."""


def score(prompt: Sequence[int], labels: Sequence[Sequence[int]], vocabulary: Vocabulary) -> Job:
    """For each label, the log-probability of its tokens after the prompt and of stopping there.

    Every node of the label trie is forwarded once.
    """
    root = build_trie(labels)
    (row,) = yield Step(0, prompt, returns=len(root.children) > 1)
    prompt_done = time.perf_counter()
    results = [0.0] * len(labels)
    pending = _visit(root, row, 0.0, vocabulary, results)
    depth = [len(prompt)] * len(pending)
    while pending:
        token, node, so_far = pending.pop()
        keep = depth.pop()
        chain = _chain(token, node)
        branches = len(chain[-1][1].children) > 1
        rows = yield Step(keep, [t for t, _ in chain], outputs=len(chain), returns=branches)
        for (_, member), row in zip(chain, rows, strict=True):
            keep += 1
            children = _visit(member, row, so_far, vocabulary, results)
            if len(children) == 1:
                so_far = children[0][2]
        if branches or len(chain) == _CHAIN_TOKENS:
            pending += children
            depth += [keep] * len(children)
    return Scored(tuple(results), prompt_done)


def _chain(token: int, node: TrieNode) -> list[tuple[int, TrieNode]]:
    """The node and those below it up to the first branching: one step forwards them together."""
    chain = [(token, node)]
    while len(node.children) == 1 and len(chain) < _CHAIN_TOKENS:
        ((token, node),) = node.children.items()
        chain.append((token, node))
    return chain


def _visit(
    node: TrieNode, row: Logits, so_far: float, vocabulary: Vocabulary, results: list[float]
) -> list[tuple[int, TrieNode, float]]:
    """Settle the labels that end at a node; return its children with their log-probabilities."""
    normalizer = log_normalizer(row)
    if node.ends:
        stop = so_far + log_sum(row[vocabulary.stop_ids]) - normalizer
        for index in node.ends:
            results[index] = stop
    return [
        (token, child, so_far + float(row[token]) - normalizer)
        for token, child in node.children.items()
    ]
