"""How well the model does on the held-out examples while it is trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sklearn.metrics import f1_score

from gateway.tuning.examples import Example
from gateway.tuning.network import Network


@dataclass(frozen=True, slots=True)
class HeldOut:
    """After one epoch."""

    epoch: int
    loss: float
    """Nats a token of the right answers, stopping counted as a token."""
    macro_f1: float | None
    """None: the answers are no labels."""

    @property
    def score(self) -> float:
        """What decides which epoch is best; the larger the better."""
        return -self.loss if self.macro_f1 is None else self.macro_f1


def hold_out(
    network: Network, examples: Sequence[Example], epoch: int, done: Callable[[], None]
) -> HeldOut:
    """Score the held-out examples, each alone, so that none depends on its neighbours.

    Args:
        done: called after each.
    """
    import torch

    network.train(False)
    loss, tokens = 0.0, 0
    golds: list[int] = []
    answers: list[int] = []
    with torch.no_grad():
        for example in examples:
            found = network.scores(example)
            loss -= float(found[example.right])
            tokens += len(example.row.answer) + 1
            golds.append(example.right)
            answers.append(int(found.argmax()))
            done()
    scored = any(len(example.answers) > 1 for example in examples)
    macro_f1 = float(f1_score(golds, answers, average="macro", zero_division=0.0))
    return HeldOut(epoch, loss / tokens, macro_f1 if scored else None)
