"""The tokens of labels as a trie: what labels have in common is forwarded once."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class TrieNode:
    """A token of one or more labels; the root stands for the end of the prompt."""

    children: "dict[int, TrieNode]" = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)
    """Indices of the labels that end here."""
    below: list[int] = field(default_factory=list)
    """Indices of the labels that begin so, in their order."""


def build_trie(labels: Sequence[Sequence[int]]) -> TrieNode:
    """All labels' tokens; common beginnings are shared."""
    root = TrieNode()
    for index, tokens in enumerate(labels):
        node = root
        node.below.append(index)
        for token in tokens:
            node = node.children.setdefault(token, TrieNode())
            node.below.append(index)
        node.ends.append(index)
    return root


def count_nodes(root: TrieNode) -> int:
    """Tokens that the trie adds to the prompt."""
    return sum(1 + count_nodes(child) for child in root.children.values())
